// SPDX-License-Identifier: LGPL-2.1-or-later
//
// closer.h: closes descriptors that strangers have a hand in.
//
// Closing may block for as long as the other side likes: the last descriptor of a TCP socket with SO_LINGER,
// a file on a file system of theirs; and closing a Unix socket closes the descriptors that lie in it unread.
// So threads do it on which nobody waits: a few of them, made when they are needed. Any thread may call.

#pragma once

#include "os/descriptor.h"

#include <memory>

namespace ringmix::server {

class Closer {
public:
    Closer();
    ~Closer(); // does not wait for what has not been closed yet: the end of the process does it
    Closer(const Closer&) = delete;
    Closer& operator=(const Closer&) = delete;

    void close(os::Descriptor descriptor) noexcept; // never blocks

private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

} // namespace ringmix::server
