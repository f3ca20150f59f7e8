// SPDX-License-Identifier: LGPL-2.1-or-later
//
// guarded.h: where exceptions end: set-up paths that libasound calls. They become error numbers, and a line for
// people.

#pragma once

#include "client/connection.h"

#include <alsa/asoundlib.h>
#include <cerrno>
#include <exception>
#include <new>
#include <system_error>

namespace ringmix::plugin {

template <class Function> int guarded(const char* what, Function&& function) noexcept
{
    try {
        return function();
    } catch (const client::ClientError& error) {
        SNDERR("ringmix: %s", error.what());
        return -error.error;
    } catch (const std::system_error& error) {
        SNDERR("ringmix: %s: %s", what, error.what());
        return error.code().value() > 0 ? -error.code().value() : -EIO;
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    } catch (const std::exception& error) {
        SNDERR("ringmix: %s: %s", what, error.what());
        return -EIO;
    }
}

} // namespace ringmix::plugin
