"""The only code that talks to AWS: S3, DynamoDB and SQS behind what the wings ask for."""
