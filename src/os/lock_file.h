// SPDX-License-Identifier: LGPL-2.1-or-later
//
// lock_file.h: a lock that dies with its holder (flock on a file that is never removed).
// Set-up paths only.

#pragma once

#include "os/descriptor.h"

#include <string>

namespace ringmix::os {

// Tries to lock `path` (made with mode 0600, missing parent directories with 0700). Returns an
// empty Descriptor when somebody else holds it; throws std::system_error naming the path if it
// cannot be made.
Descriptor try_lock_file(const std::string& path);

} // namespace ringmix::os
