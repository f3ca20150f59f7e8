// SPDX-License-Identifier: LGPL-2.1-or-later
//
// autostart.h: starting a server when none answers. Set-up paths only; blocks up to its time-out.
//
// Of the programs that find no server at the same moment, one starts it: whoever holds the lock
// file beside the socket. The lock dies with its holder, so that nobody waits for a dead program.

#pragma once

#include "client/connection.h"

#include <functional>
#include <string>
#include <vector>

namespace ringmix::client {

// The program that is started, then its arguments.
std::vector<std::string> server_command(const Address& address);

// Makes sure that a server runs and calls `attempt` until it has connected. `listen_path` is where
// the started server will listen. Throws ClientError with the server's own words and errno when
// it cannot start (ENODEV where it tells none), ETIMEDOUT, EPERM in programs with raised privileges, or what the lock
// file says; what `attempt` throws passes through.
void autostart(const Address& address, const std::string& listen_path, const std::function<Attempt()>& attempt);

} // namespace ringmix::client
