"""The fields that are copies of one value of the record, and nothing else."""

from __future__ import annotations

_ID = "aws.cloudtrail.user_identity."
_SESSION = f"{_ID}session_context."
_ISSUER = f"{_SESSION}session_issuer."

COPIES: dict[str, tuple[str, ...]] = {
    field: tuple(path.split("."))
    for field, path in {
        "event.action": "eventName",
        "event.provider": "eventSource",
        "event.id": "eventID",
        "cloud.region": "awsRegion",
        "source.address": "sourceIPAddress",
        "user_agent.original": "userAgent",
        "file.path": "digestS3Object",
        "aws.cloudtrail.event_version": "eventVersion",
        "aws.cloudtrail.event_category": "eventCategory",
        "aws.cloudtrail.event_type": "eventType",
        "aws.cloudtrail.api_version": "apiVersion",
        "aws.cloudtrail.request_id": "requestID",
        "aws.cloudtrail.recipient_account_id": "recipientAccountId",
        "aws.cloudtrail.vpc_endpoint_id": "vpcEndpointId",
        "aws.cloudtrail.vpc_endpoint_account_id": "vpcEndpointAccountId",
        "aws.cloudtrail.read_only": "readOnly",
        "aws.cloudtrail.error_code": "errorCode",
        "aws.cloudtrail.error_message": "errorMessage",
        "aws.cloudtrail.session_credential_from_console": "sessionCredentialFromConsole",
        "aws.cloudtrail.addendum.reason": "addendum.reason",
        "aws.cloudtrail.addendum.updated_fields": "addendum.updatedFields",
        "aws.cloudtrail.addendum.original_request_id": "addendum.originalRequestID",
        "aws.cloudtrail.addendum.original_event_id": "addendum.originalEventID",
        f"{_ID}type": "userIdentity.type",
        f"{_ID}arn": "userIdentity.arn",
        f"{_ID}access_key_id": "userIdentity.accessKeyId",
        f"{_ID}invoked_by": "userIdentity.invokedBy",
        f"{_ID}invoked_by_delegate.account_id": "userIdentity.invokedByDelegate.accountId",
        f"{_ID}credential_id": "userIdentity.credentialId",
        f"{_ID}identity_provider": "userIdentity.identityProvider",
        f"{_ID}on_behalf_of.user_id": "userIdentity.onBehalfOf.userId",
        f"{_ID}on_behalf_of.identity_store_arn": "userIdentity.onBehalfOf.identityStoreArn",
        f"{_ID}in_scope_of.issuer_type": "userIdentity.inScopeOf.issuerType",
        f"{_ID}in_scope_of.credentials_issued_to": "userIdentity.inScopeOf.credentialsIssuedTo",
        f"{_ID}in_scope_of.source_arn": "userIdentity.inScopeOf.sourceArn",
        f"{_ID}in_scope_of.source_account": "userIdentity.inScopeOf.sourceAccount",
        f"{_SESSION}mfa_authenticated": "userIdentity.sessionContext.attributes.mfaAuthenticated",
        f"{_SESSION}ec2_role_delivery": "userIdentity.sessionContext.ec2RoleDelivery",
        f"{_SESSION}source_identity": "userIdentity.sessionContext.sourceIdentity",
        f"{_SESSION}assumed_root": "userIdentity.sessionContext.assumedRoot",
        f"{_SESSION}sign_in_session_arn": "userIdentity.sessionContext.signInSessionArn",
        f"{_SESSION}web_id_federation_data.federated_provider": (
            "userIdentity.sessionContext.webIdFederationData.federatedProvider"
        ),
        f"{_ISSUER}type": "userIdentity.sessionContext.sessionIssuer.type",
        f"{_ISSUER}principal_id": "userIdentity.sessionContext.sessionIssuer.principalId",
        f"{_ISSUER}arn": "userIdentity.sessionContext.sessionIssuer.arn",
        f"{_ISSUER}account_id": "userIdentity.sessionContext.sessionIssuer.accountId",
    }.items()
}
"""Field -> path in the record. Only scalars are copied: Elasticsearch refuses an object in these fields."""

TLS_COPIES: dict[str, tuple[str, ...]] = {
    "tls.cipher": ("tlsDetails", "cipherSuite"),
    "tls.client.server_name": ("tlsDetails", "clientProvidedHostHeader"),
    "aws.cloudtrail.tls_details.key_exchange": ("tlsDetails", "keyExchange"),
}
"""Copies too, unless tlsDetails holds nothing but placeholders (`network.tls_fields`)."""

CONSTANTS: dict[str, str] = {
    "ecs.version": "8.11.0",
    "cloud.provider": "aws",
    "event.dataset": "aws.cloudtrail",
    "event.module": "aws",
    "data_stream.type": "logs",
    "data_stream.dataset": "aws.cloudtrail",
    "data_stream.namespace": "default",
}
"""Fields with the same value in every document."""
