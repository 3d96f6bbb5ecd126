#!/bin/sh
# The key that wraps the tenants' keys. In an account of AWS it is made with the account, not by the server.
set -eu
key=$(awslocal kms create-key --description fhirpool --query KeyMetadata.KeyId --output text)
awslocal kms create-alias --alias-name alias/fhirpool --target-key-id "$key"
