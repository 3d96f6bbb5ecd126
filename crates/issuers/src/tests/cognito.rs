//! Cognito's user pools, as MiniStack has them: real RS256 tokens with groups and a tenant, keys behind discovery.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fhirpool_authz::{Interaction, ReadAccess};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::*;

/// A user pool that goes away with the test.
struct Pool {
    endpoint: String,
    id: String,
    client: String,
}

async fn call(endpoint: &str, operation: &str, body: Value) -> Value {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(format!("{endpoint}/"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{operation}"))
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cognito-idp/aws4_request, SignedHeaders=host, Signature=x",
        )
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let response = client
        .request(request)
        .await
        .unwrap_or_else(|error| panic!("{endpoint}: {error}; start the local stack with cargo xtask stack up"));
    let (status, body) = (response.status(), response.into_body().collect().await.unwrap().to_bytes());
    assert!(status.is_success(), "{operation}: {status} {body:?}");
    serde_json::from_slice(&body).unwrap()
}

impl Pool {
    async fn create() -> Self {
        let endpoint = std::env::var("FHIRPOOL_COGNITO_ENDPOINT");
        let endpoint = endpoint.expect("FHIRPOOL_COGNITO_ENDPOINT is not set: start the local stack with cargo xtask stack up");
        let name = format!("fhirpool-{}-{:?}", std::process::id(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let schema = json!([{ "Name": "tenantId", "AttributeDataType": "String", "Mutable": true }]);
        let pool = call(&endpoint, "CreateUserPool", json!({ "PoolName": name, "Schema": schema })).await;
        let id = pool["UserPool"]["Id"].as_str().unwrap().to_owned();
        let flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH"];
        let made = json!({ "UserPoolId": id, "ClientName": "app", "ExplicitAuthFlows": flows });
        let client = call(&endpoint, "CreateUserPoolClient", made).await["UserPoolClient"]["ClientId"].as_str().unwrap().to_owned();
        for group in ["practitioner", "auditor"] {
            call(&endpoint, "CreateGroup", json!({ "UserPoolId": id, "GroupName": group })).await;
        }
        Self { endpoint, id, client }
    }

    async fn add_user(&self, name: &str, tenant: &str, group: &str) {
        let pool = self.id.as_str();
        let attributes = json!([{ "Name": "custom:tenantId", "Value": tenant }]);
        let user = json!({ "UserPoolId": pool, "Username": name, "UserAttributes": attributes, "MessageAction": "SUPPRESS" });
        call(&self.endpoint, "AdminCreateUser", user).await;
        let password = json!({ "UserPoolId": pool, "Username": name, "Password": "Secret-123", "Permanent": true });
        call(&self.endpoint, "AdminSetUserPassword", password).await;
        call(&self.endpoint, "AdminAddUserToGroup", json!({ "UserPoolId": pool, "Username": name, "GroupName": group })).await;
    }

    /// The ID token and the access token of a user.
    async fn sign_in(&self, name: &str) -> (String, String) {
        let parameters = json!({ "USERNAME": name, "PASSWORD": "Secret-123" });
        let flow = "ADMIN_USER_PASSWORD_AUTH";
        let request = json!({ "UserPoolId": self.id, "ClientId": self.client, "AuthFlow": flow, "AuthParameters": parameters });
        let result = call(&self.endpoint, "AdminInitiateAuth", request).await["AuthenticationResult"].take();
        let text = |name: &str| result[name].as_str().unwrap().to_owned();
        (text("IdToken"), text("AccessToken"))
    }

    /// The pool as an issuer; its tokens name AWS, its keys are on this machine.
    fn issuer(&self, tenants: &[&str]) -> RemoteIssuer {
        RemoteIssuer {
            admin_audiences: Vec::new(),
            jwks_uri: Some(format!("{}/{}/.well-known/jwks.json", self.endpoint, self.id)),
            audiences: vec![self.client.clone()],
            token_uses: vec!["id".into()],
            tenants: tenants.iter().map(|tenant| TenantId::parse(tenant).unwrap()).collect(),
            ..remote(&format!("https://cognito-idp.us-east-1.amazonaws.com/{}", self.id))
        }
    }

    async fn delete(self) {
        call(&self.endpoint, "DeleteUserPool", json!({ "UserPoolId": self.id })).await;
    }
}

#[tokio::test]
async fn tokens_of_a_user_pool_make_principals_of_their_tenant_and_group() {
    let pool = Pool::create().await;
    pool.add_user("ann", "acme", "practitioner").await;
    pool.add_user("bob", "acme", "auditor").await;
    pool.add_user("eve", "other", "practitioner").await;
    let issuer = pool.issuer(&["acme"]);
    let verifier = TokenVerifier::new(vec![issuer.issuer()]);
    verifier.set_source(Arc::new(Issuers::new(vec![issuer], settings(0)).unwrap()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let (id_token, access_token) = pool.sign_in("ann").await;
    let ann = verifier.verify_or_fetch(&id_token, now).await.unwrap();
    assert_eq!((ann.tenant().as_str(), ann.groups()), ("acme", &["practitioner".to_owned()][..]));
    assert_eq!(ann.client(), Some(pool.client.as_str()));
    assert!(ReadAccess::authorize_for(&ann, ann.tenant(), Interaction::HistoryType, None).is_ok());
    let bob = verifier.verify_or_fetch(&pool.sign_in("bob").await.0, now).await.unwrap();
    assert!(ReadAccess::authorize_for(&bob, bob.tenant(), Interaction::HistoryType, None).is_err());
    assert_ne!(ann.subject(), bob.subject());
    // An access token is of another use, and names no tenant; a pool does not speak for others' tenants.
    assert_eq!(verifier.verify_or_fetch(&access_token, now).await.err(), Some(TokenError::TokenUse));
    assert_eq!(verifier.verify_or_fetch(&pool.sign_in("eve").await.0, now).await.err(), Some(TokenError::TenantOfOthers));
    let (signed, signature) = id_token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    assert!(verifier.verify_or_fetch(&forged, now).await.is_err());
    // A second pool's tokens are none of this issuer's.
    let other = Pool::create().await;
    other.add_user("ann", "acme", "practitioner").await;
    assert_eq!(verifier.verify_or_fetch(&other.sign_in("ann").await.0, now).await.err(), Some(TokenError::UnknownIssuer));
    other.delete().await;
    pool.delete().await;
}

#[tokio::test]
async fn keys_of_a_user_pool_are_found_by_discovery() {
    let pool = Pool::create().await;
    // The discovery document names AWS as the issuer, so that asked for on this machine it is another's, and refused.
    let fetch = Fetch::new(Duration::from_secs(5), 64 << 10);
    let address = format!("{}/{}", pool.endpoint, pool.id);
    assert!(matches!(fetch.discover(&address).await, Err(FetchError::Discovery)));
    let jwks = fetch.get(&format!("{address}/.well-known/jwks.json")).await.unwrap();
    assert!(KeySet::from_jwks(&jwks, Algorithm::Rs256).is_ok());
    pool.delete().await;
}
