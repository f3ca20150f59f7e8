// SPDX-License-Identifier: LGPL-2.1-or-later
//
// process.h: processes: names, death, detached children, realtime scheduling.

#pragma once

#include "os/descriptor.h"

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace ringmix::os {

// The short name of this program (as in /proc/self/comm or argv[0]'s last part); never empty.
std::string program_name();
// The command name of process `pid`, empty if it cannot be read.
std::string process_name(pid_t pid);

// A descriptor that becomes readable when process `pid` dies; empty where the kernel cannot
// (pidfd_open) or the process is gone or invisible.
Descriptor watch_process(pid_t pid);

struct SpawnResult {
    std::string diagnostics; // what the child wrote to stderr until it closed it (at most 4 KiB)
    bool timed_out = false;
    bool exited_badly = false; // the direct child ended with a status other than 0, or by a signal
};

// Runs `arguments` (the program first: a path, or looked up in PATH) as a detached process: own
// session, default signals, no descriptor but stdin and stdout on /dev/null and stderr on a pipe
// read here. The program is expected to fork and let its first process exit 0 (so that no zombie
// and no child stays behind) and to close stderr when it is ready or has failed. Waits for both
// for at most `timeout_ms`. The host's signal handlers and children are left alone (waits for its
// own child only; somebody else's reaping is tolerated). A first process that still runs when the
// time is up is killed, with its process group. Throws std::system_error if it cannot start.
SpawnResult spawn_detached(const std::vector<std::string>& arguments, const std::vector<std::string>& extra_environment,
                           int timeout_ms);

// Asks for SCHED_FIFO at `priority` for the calling thread; false (errno kept) if not permitted.
bool become_realtime(int priority) noexcept;
// Lets this process have as many descriptors as it may (RLIMIT_NOFILE: the soft limit becomes the hard one).
void raise_descriptor_limit() noexcept;
// The largest file that this process may make (RLIMIT_FSIZE; memory files count), in bytes.
std::uint64_t file_size_limit() noexcept;
// Names the calling thread (15 characters at most).
void name_thread(const char* name) noexcept;

} // namespace ringmix::os
