# SPDX-License-Identifier: LGPL-2.1-or-later
"""All tests, in the order in which they run."""

import exact  # noqa: F401
import kills  # noqa: F401
import formats  # noqa: F401
import rates  # noqa: F401
import channels  # noqa: F401
import gains  # noqa: F401
import shapes  # noqa: F401
import lifetime  # noqa: F401
import figures  # noqa: F401
import mistakes  # noqa: F401
import disturbances  # noqa: F401
import outputs  # noqa: F401
import settings  # noqa: F401
