// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/process.h"

#include "os/error.h"
#include "os/timer.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 // the same on all architectures
#endif

namespace ringmix::os {
namespace {

constexpr std::size_t max_diagnostics = 4096;
constexpr int grace_ms = 200; // for a killed child to end
constexpr int look_ms = 10;   // between looks at a child without a pidfd

void check(int error, const char* what)
{
    if (error != 0)
        fail(error, what);
}

std::string read_name(const std::string& path)
{
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char text[64];
    const ssize_t bytes = file ? ::read(file.get(), text, sizeof(text)) : 0;
    std::string name(text, bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    if (name.ends_with('\n'))
        name.pop_back();
    return name;
}

class SpawnAttributes {
public:
    SpawnAttributes()
    {
        check(::posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
        sigset_t all, none;
        ::sigfillset(&all);
        ::sigemptyset(&none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    }
    SpawnAttributes(const SpawnAttributes&) = delete;
    ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
    const posix_spawnattr_t* get() const noexcept { return &attributes_; }

private:
    posix_spawnattr_t attributes_;
};

class SpawnActions {
public:
    SpawnActions() { check(::posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init"); }
    SpawnActions(const SpawnActions&) = delete;
    ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

    // stderr first: where the host closed its own 0 or 1, `stderr_fd` may be one of them.
    void redirect(int stderr_fd)
    {
        check(::posix_spawn_file_actions_adddup2(&actions_, stderr_fd, STDERR_FILENO), "prepare the child's stderr");
        for (const int fd : {STDIN_FILENO, STDOUT_FILENO})
            check(::posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0), "prepare /dev/null");
        check(::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1), "prepare closing the rest");
    }

private:
    posix_spawn_file_actions_t actions_;
};

// The part up to '=', inclusive.
std::string_view variable_of(std::string_view assignment) { return assignment.substr(0, assignment.find('=') + 1); }

std::vector<char*> merged_environment(const std::vector<std::string>& extra)
{
    std::vector<char*> merged;
    for (char** entry = environ; entry && *entry; ++entry) {
        const auto replaces = [&](const std::string& e) { return variable_of(e) == variable_of(*entry); };
        if (std::none_of(extra.begin(), extra.end(), replaces))
            merged.push_back(*entry);
    }
    for (const std::string& entry : extra)
        merged.push_back(const_cast<char*>(entry.c_str()));
    merged.push_back(nullptr);
    return merged;
}

// Starts the program with `stderr_fd` as its stderr.
pid_t start(const std::vector<std::string>& arguments, const std::vector<std::string>& extra_environment, int stderr_fd)
{
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> environment = merged_environment(extra_environment);
    const SpawnAttributes attributes;
    SpawnActions actions;
    actions.redirect(stderr_fd);
    pid_t pid = -1;
    // Not fork(): the host may have many threads, much memory and its own fork handlers.
    const int error = ::posix_spawnp(&pid, argv[0], actions.get(), attributes.get(), argv.data(), environment.data());
    if (error != 0)
        fail(error, "start ", arguments[0]);
    return pid;
}

int left_ms(std::int64_t deadline_ns) noexcept
{
    const std::int64_t left = deadline_ns - monotonic_ns();
    return left <= 0 ? 0 : static_cast<int>((left + ns_per_ms - 1) / ns_per_ms);
}

// Collects what comes until the end of the file; false when the time is up first. What exceeds the
// limit is read all the same, lest the writer block.
bool read_diagnostics(int fd, std::int64_t deadline_ns, std::string& text)
{
    for (;;) {
        pollfd readable{fd, POLLIN, 0};
        const int ready = ::poll(&readable, 1, left_ms(deadline_ns));
        if (ready == 0)
            return false;
        char chunk[1024];
        const ssize_t bytes = ready < 0 ? -1 : ::read(fd, chunk, sizeof(chunk));
        if (bytes == 0 || (bytes < 0 && errno != EINTR))
            return true;
        if (bytes > 0)
            text.append(chunk, std::min(static_cast<std::size_t>(bytes), max_diagnostics - text.size()));
        else if (left_ms(deadline_ns) == 0)
            return false;
    }
}

enum class Ending { running, well, badly };

Ending reap(pid_t pid) noexcept
{
    int status = 0;
    const pid_t reaped = ::waitpid(pid, &status, WNOHANG);
    if (reaped == 0)
        return Ending::running;
    // ECHILD: the host ignores SIGCHLD, or waits for all its children, and took ours as well.
    return reaped < 0 || status == 0 ? Ending::well : Ending::badly;
}

Ending reap_until(pid_t pid, int pidfd, std::int64_t deadline_ns) noexcept
{
    for (;;) {
        const Ending ending = reap(pid);
        const int left = left_ms(deadline_ns);
        if (ending != Ending::running || left == 0)
            return ending;
        pollfd dead{pidfd, POLLIN, 0}; // negative: ignored
        ::poll(&dead, 1, pidfd >= 0 ? left : std::min(left, look_ms));
    }
}

} // namespace

std::string program_name()
{
    std::string name = read_name("/proc/self/comm");
    if (name.empty() && program_invocation_short_name)
        name = program_invocation_short_name;
    return name.empty() ? "unknown" : name;
}

std::string process_name(pid_t pid) { return pid > 0 ? read_name("/proc/" + std::to_string(pid) + "/comm") : ""; }

Descriptor watch_process(pid_t pid)
{
    return Descriptor(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1); // close-on-exec as it is
}

SpawnResult spawn_detached(const std::vector<std::string>& arguments, const std::vector<std::string>& extra_environment,
                           int timeout_ms)
{
    if (arguments.empty())
        fail(EINVAL, "start a program without a name");
    const std::int64_t deadline = monotonic_ns() + timeout_ms * ns_per_ms;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0)
        fail(errno, "pipe for ", arguments[0]);
    const Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    const pid_t pid = start(arguments, extra_environment, writing.get());
    const Descriptor pidfd = watch_process(pid);
    writing.reset();

    SpawnResult result;
    result.diagnostics.reserve(max_diagnostics);
    result.timed_out = !read_diagnostics(reading.get(), deadline, result.diagnostics);
    Ending ending = reap_until(pid, pidfd.get(), deadline);
    if (ending == Ending::running) {
        // Left alone it would be the host's zombie one day. It leads its own process group.
        result.timed_out = true;
        ::kill(-pid, SIGKILL);
        ending = reap_until(pid, pidfd.get(), monotonic_ns() + grace_ms * ns_per_ms);
    }
    result.exited_badly = ending == Ending::badly;
    return result;
}

bool become_realtime(int priority) noexcept
{
    sched_param parameters{};
    parameters.sched_priority = priority;
    // Threads and programs started from a realtime thread do not become realtime ones.
    return ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) == 0;
}

void raise_descriptor_limit() noexcept
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t file_size_limit() noexcept
{
    rlimit limit{};
    return ::getrlimit(RLIMIT_FSIZE, &limit) < 0 ? RLIM_INFINITY : std::uint64_t{limit.rlim_cur};
}

// prctl() cuts long names where pthread_setname_np() refuses them.
void name_thread(const char* name) noexcept { ::prctl(PR_SET_NAME, name); }

} // namespace ringmix::os
