// SPDX-License-Identifier: LGPL-2.1-or-later
//
// thread.h: a thread in somebody else's process: it takes none of the program's signals, has no realtime priority
// whoever starts it, and a small stack.

#pragma once

#include <pthread.h>

namespace ringmix::os {

class Thread {
public:
    using Function = void* (*)(void* context);

    Thread() noexcept = default;
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;

    // False: the process may not have one more.
    bool start(Function function, void* context) noexcept;
    // Waits for its end. Not in a child after fork(), which does not have it: forget() it there.
    void join() noexcept;
    void forget() noexcept { started_ = false; }
    // Started, and neither joined nor forgotten.
    explicit operator bool() const noexcept { return started_; }

private:
    pthread_t thread_{};
    bool started_ = false;
};

} // namespace ringmix::os
