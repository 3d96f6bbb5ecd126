import com.almworks.sqlite4java.SQLiteConnection;
import com.almworks.sqlite4java.SQLiteJob;
import com.almworks.sqlite4java.SQLiteQueue;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.main.ServerRunner;
import software.amazon.dynamodb.services.local.server.DynamoDBProxyServer;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.shared.access.sqlite.SQLiteDBAccess;

/**
 * DynamoDB Local, bound to the loopback address only: its own main class listens on every address and has no option for that.
 *
 * <p>It keeps the records of all streams in one table without an index, also those of tables that are gone, and looks through all
 * of them whenever a stream is described, a shard is read or a reader asks where a shard begins. With indexes it stays as fast as
 * it began, whatever it has stored.
 */
public final class LoopbackDynamoDb {
    public static void main(String[] arguments) throws Exception {
        DynamoDBProxyServer dynamoDb = ServerRunner.createServerFromCommandLineArgs(arguments);
        for (Connector connector : ((Server) field(DynamoDBProxyServer.class, "server", dynamoDb)).getConnectors()) {
            ((ServerConnector) connector).setHost("127.0.0.1");
        }
        indexStreams(dynamoDb);
        dynamoDb.start();
        dynamoDb.join();
    }

    private static void indexStreams(DynamoDBProxyServer dynamoDb) throws Exception {
        Object handler = field(DynamoDBProxyServer.class, "serverHandler", dynamoDb);
        Object requests = field(handler.getClass().getSuperclass(), "primaryHandler", handler);
        Method shared = LocalDynamoDBRequestHandler.class.getDeclaredMethod("getHandler", String.class);
        shared.setAccessible(true);
        Object database = shared.invoke(requests, "");
        Object access = field(database.getClass(), "dbAccess", database);
        SQLiteQueue queue = (SQLiteQueue) field(SQLiteDBAccess.class, "queue", access);
        queue.execute(new SQLiteJob<Void>() {
            @Override
            protected Void job(SQLiteConnection connection) throws Throwable {
                // The number of a record is its row's, which every index holds; this version of SQLite uses it only from there.
                connection.exec("CREATE INDEX IF NOT EXISTS us_by_stream ON us (StreamID)");
                connection.exec("CREATE INDEX IF NOT EXISTS us_by_shard ON us (ShardID)");
                return null;
            }
        }).get();
    }

    private static Object field(Class<?> holder, String name, Object of) throws Exception {
        Field field = holder.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(of);
    }
}
