// SPDX-License-Identifier: LGPL-2.1-or-later
//
// error.h: how this room reports a failed system call: with the call and its object named.

#pragma once

#include <string>
#include <system_error>

namespace ringmix::os {

// The parts are references, so that the caller's errno is read before any text is put together.
template <class... Parts> [[noreturn]] void fail(int error, const Parts&... parts)
{
    throw std::system_error(error, std::generic_category(), (std::string() + ... + parts));
}

} // namespace ringmix::os
