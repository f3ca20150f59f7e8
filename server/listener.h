// SPDX-License-Identifier: LGPL-2.1-or-later
//
// listener.h: the socket on which clients find the server, its file, and the lock that goes with it.
// Control thread only; may block.

#pragma once

#include "os/descriptor.h"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace ringmix::server {

class Listener {
public:
    // Listens at `path` with mode `mode`; waits for a server that is just ending. Throws std::exception when another
    // server does, or when it cannot.
    static Listener at(const std::string& path, mode_t mode);
    // A socket that a service manager listens on: its file is not ours.
    static Listener passed(os::Descriptor socket);
    // The socket of a server that this one replaces; at `path` if its file is to be ours, once own() is called.
    static Listener taken_over(os::Descriptor socket, const std::string& path, mode_t mode);
    // The one before has ended, or is about to: takes its lock. Waits up to two seconds; false: there is none to be
    // had.
    bool own() noexcept;
    // The other side of it: file and lock are left to the successor.
    bool owned() const noexcept { return static_cast<bool>(lock_); }
    void leave() noexcept;
    ~Listener(); // removes the file, if it is still ours
    Listener(Listener&&) noexcept = default;
    Listener& operator=(Listener&&) = delete;

    int fd() const noexcept { return socket_.get(); }
    const std::string& path() const noexcept { return path_; }
    os::Descriptor take_socket() noexcept { return std::move(socket_); }

    // Readable when something has happened in the file's directory; -1: nothing is watched.
    int watch_fd() const noexcept { return watch_.get(); }
    // To be called then. True: the file was gone or another one, and there is a new socket with a new file; the
    // old socket is in `old`. Throws when there can be none, because another server has taken the place.
    bool restore(os::Descriptor& old);

private:
    struct File { // which one it is
        dev_t device = 0;
        ino_t inode = 0;
        std::int64_t made_s = 0, made_ns = 0; // inodes are used again
        bool operator==(const File&) const = default;
    };
    Listener() = default;
    static File file_at(const std::string& path) noexcept;
    bool lock(); // false: another server has it
    void listen();
    void watch_directory() noexcept;

    std::string path_;
    mode_t mode_ = 0;
    os::Descriptor lock_, socket_, watch_;
    File file_, lock_file_; // ours
};

} // namespace ringmix::server
