// SPDX-License-Identifier: LGPL-2.1-or-later
//
// socket.h: Unix sockets that carry packets and descriptors (SOCK_SEQPACKET, SCM_RIGHTS).
//
// Control paths only. connect/listen/send throw std::system_error naming the path or the call.

#pragma once

#include "os/descriptor.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <vector>

namespace ringmix::os {

inline constexpr std::size_t max_passed_descriptors = 8;

// Connects to the socket at `path`. Throws: ENAMETOOLONG for a path that does not fit sun_path,
// else what connect() said (ENOENT, ECONNREFUSED: nobody listens). Close-on-exec.
Descriptor connect_to(const std::string& path);

// The bytes that a socket's path can have.
inline constexpr std::size_t max_socket_path = sizeof(sockaddr_un::sun_path) - 1;

// The directory that `path` lies in.
std::string directory_of(const std::string& path);

// Throws as listen_at does, leaving nothing behind, if no socket can be made at `path`: it is empty or too
// long, is the path of something else, or its directory cannot be made or written. Makes missing parents.
void require_socket_place(const std::string& path);

// A listening socket at `path` with mode `mode` (e.g. 0600), close-on-exec, non-blocking. Missing
// parent directories are made with 0700. A socket file that nobody answers is replaced; one that
// is answered, or a file that is no socket, is an error (EADDRINUSE / EEXIST).
Descriptor listen_at(const std::string& path, mode_t mode);

// Takes one waiting connection (close-on-exec); an empty Descriptor if there is none any more.
Descriptor accept_from(int listener);

// Sends one packet, with descriptors if there are any. Never raises SIGPIPE. `wait`: block until
// it fits; otherwise a full socket is an error (EAGAIN).
void send_packet(int socket, std::span<const std::byte> packet, std::span<const int> descriptors = {},
                 bool wait = true);

// One received packet. size 0: the peer has closed (end of file).
struct Packet {
    std::size_t bytes = 0;               // received into the caller's buffer
    bool truncated = false;              // the packet or its descriptors did not fit
    bool nothing = false;                // non-blocking and none there (EAGAIN), or the time was up
    std::vector<Descriptor> descriptors; // close-on-exec
};

// All descriptors that came with the packet are the caller's to close: that may block for as long as the sender
// likes (a TCP socket with SO_LINGER), as does closing `socket` itself with such a packet in its queue.
//
// Receives one packet into `buffer`; waits at most `timeout_ms` (-1: for ever, 0: not at all).
// Throws std::system_error on errors other than EAGAIN; ECONNRESET counts as end of file.
Packet receive_packet(int socket, std::span<std::byte> buffer, int timeout_ms);

// True when the peer of `socket` has closed. Never blocks, takes nothing, does not throw.
bool peer_closed(int socket) noexcept;
// Ends the connection for all who hold the socket (forked children too), as if the last had closed it.
void hang_up(int socket) noexcept;

struct PeerCredentials {
    pid_t pid; // 0: not known (other pid namespace)
    uid_t uid;
    gid_t gid;
};
PeerCredentials peer_credentials(int socket);

} // namespace ringmix::os
