// SPDX-License-Identifier: LGPL-2.1-or-later
//
// service_manager.h: the two protocols by which service managers (systemd and others) run daemons:
// readiness ($NOTIFY_SOCKET) and socket activation ($LISTEN_FDS). Control thread only.

#pragma once

#include "os/descriptor.h"

#include <string>

namespace ringmix::server {

// Sends e.g. "READY=1\nSTATUS=..." if $NOTIFY_SOCKET is set (path or abstract). Never fails loudly.
void notify_manager(const std::string& state) noexcept;
// The listening SOCK_SEQPACKET Unix socket passed by the manager (first of $LISTEN_FDS, if
// $LISTEN_PID is this process), made close-on-exec and non-blocking; empty if there is none.
// Throws std::runtime_error if what was passed is no such socket. Unsets the variables.
os::Descriptor passed_listener();

} // namespace ringmix::server
