import java.nio.file.Path;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One OpenSearch node with the settings given as arguments: the runner's own main class takes none, and no port above 9299. */
public final class LoopbackOpenSearch {
    public static void main(String[] arguments) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.setMaxHttpPort(65535);
        runner.onBuild((number, settings) -> {
            for (int at = 1; at < arguments.length; at++) {
                String[] setting = arguments[at].split("=", 2);
                settings.put(setting[0], setting[1]);
            }
        });
        runner.build(OpenSearchRunner.newConfigs().basePath(Path.of(arguments[0]).toString()).numOfNode(1));
        Thread.currentThread().join();
    }
}
