"""The static site and its distribution, with the API under the same name at /api."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct

from infra.layers import ROOT
from infra.service_stack import ServiceStack
from infra.storage_stack import StorageStack


class WebStack(Stack):
    """One distribution: the page from a private bucket, `/api/*` from the HTTP API.

    Same name for both, so the browser needs no CORS and the page no address of the API. On
    the emulator the site is uploaded by local/deploy.py: it cannot run BucketDeployment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: ServiceStack,
        storage: StorageStack,
        local: bool,
    ) -> None:
        super().__init__(scope, construct_id, description="Products Advisor: web page")
        site = s3.Bucket(
            self,
            "Site",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=not local,
            removal_policy=RemovalPolicy.DESTROY,
            auto_delete_objects=not local,  # the site is made anew by every deployment
        )
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment="Products Advisor",
            default_root_object="index.html",
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.S3BucketOrigin.with_origin_access_control(site),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                response_headers_policy=self._headers(storage.data.bucket_regional_domain_name),
            ),
            additional_behaviors={
                "/api/*": cloudfront.BehaviorOptions(
                    origin=origins.HttpOrigin(service.api_domain),
                    viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                    allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                    cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                    origin_request_policy=(
                        cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER
                    ),
                )
            },
        )
        if not local:
            deployment.BucketDeployment(
                self,
                "Page",
                destination_bucket=site,
                distribution=distribution,
                sources=[
                    deployment.Source.asset(str(ROOT / "web" / "dist")),
                    # Requests go to the site, and are signed for the API, where CloudFront passes
                    # them on under the API's own host and the same path (decision 35).
                    deployment.Source.json_data(
                        "config.json",
                        {
                            "apiUrl": "api",
                            "signAs": f"https://{service.api_domain}/api",
                            "region": self.region,
                        },
                    ),
                ],
            )
        CfnOutput(self, "SiteBucket", value=site.bucket_name)
        CfnOutput(self, "SiteUrl", value=f"https://{distribution.distribution_domain_name}")

    def _headers(self, photos_domain: str) -> cloudfront.ResponseHeadersPolicy:
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self' blob: data: https://{photos_domain}; manifest-src 'self'; "
            "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
        )
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy=policy, override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=Duration.days(365), override=True
                ),
            ),
        )
