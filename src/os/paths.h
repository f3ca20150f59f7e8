// SPDX-License-Identifier: LGPL-2.1-or-later
//
// paths.h: where an instance's socket lies. The same rules for server, plugin and tool.

#pragma once

#include <string>
#include <vector>

namespace ringmix::os {

// True if `name` can be an instance name: 1 to 64 of [A-Za-z0-9._-], not starting with a dot.
bool valid_instance_name(const std::string& name) noexcept;

// Where the server of instance `name` listens when no --socket is given: $RINGMIX_SOCKET, else
// $XDG_RUNTIME_DIR/ringmix/NAME.sock; as root, or without XDG_RUNTIME_DIR where the user may write there,
// /run/ringmix/NAME.sock; else /tmp/ringmix-UID/NAME.sock.
std::string server_socket_path(const std::string& name);

// The paths that a client tries in turn: $RINGMIX_SOCKET alone if set, else the user's, then the
// system's, then the one in /tmp, if that directory is the user's alone. Environment is ignored in set-user-ID programs
// (secure_getenv).
std::vector<std::string> client_socket_paths(const std::string& name);

// Makes the directories that lead to `path`, where they are missing: the user's own (0700), or, made
// by root, passable for all (0755; a socket's own mode says who may use it). Throws
// std::system_error naming the directory; also if it is /tmp/ringmix-UID and not this user's alone.
void make_directories_for(const std::string& path);

} // namespace ringmix::os
