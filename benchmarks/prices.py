"""List prices of AWS in USD, for comparing designs.

Written down in November 2026 from the price lists of 2025; look the current ones up before you
plan a budget.
"""

from __future__ import annotations

from typing import Final

AS_OF: Final = "list prices of 2025, us-east-1"
DYNAMODB_WRITE_UNIT: Final = 0.625e-6  # up to 1 KB; twice in a transaction
DYNAMODB_READ_UNIT: Final = 0.125e-6  # up to 4 KB, consistent
SQS_REQUEST: Final = 0.40e-6  # standard queue
LAMBDA_GB_SECOND: Final = 16.6667e-6  # x86
LAMBDA_REQUEST: Final = 0.20e-6
S3_PUT: Final = 5.0e-6
