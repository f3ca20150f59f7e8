// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/thread.h"

#include <algorithm>
#include <csignal>
#include <unistd.h>

namespace ringmix::os {

namespace {
constexpr long stack_bytes = 128 * 1024; // and it is touched only as far as it is used
}

bool Thread::start(Function function, void* context) noexcept
{
    pthread_attr_t attributes;
    if (::pthread_attr_init(&attributes) != 0)
        return false;
    ::pthread_attr_setstacksize(&attributes,
                                static_cast<std::size_t>(std::max(stack_bytes, ::sysconf(_SC_THREAD_STACK_MIN))));
    ::pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED); // SCHED_OTHER, as initialized
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    started_ = ::pthread_create(&thread_, &attributes, function, context) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    return started_;
}

void Thread::join() noexcept
{
    if (started_)
        ::pthread_join(thread_, nullptr);
    started_ = false;
}

} // namespace ringmix::os
