// SPDX-License-Identifier: LGPL-2.1-or-later
//
// support.h: what the tests of system calls have in common.

#pragma once

#include "os/descriptor.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace ringmix::test {

inline constexpr int patience_ms = 10000; // for things that must happen: reached only by a failure
inline constexpr uid_t nobody = 65534;

// A directory of its own, removed with all it holds.
class TemporaryDirectory {
public:
    TemporaryDirectory()
    {
        const char* base = std::getenv("TMPDIR");
        std::string pattern = std::string(base && *base ? base : "/tmp") + "/ringmix-XXXXXX";
        if (!::mkdtemp(pattern.data()))
            throw std::system_error(errno, std::generic_category(), pattern);
        path_ = pattern;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

// Sets an environment variable (or unsets it: nullptr) for as long as it lives.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name)
    {
        if (const char* before = std::getenv(name))
            before_.push_back(before);
        set(value);
    }
    Variable(const Variable&) = delete;
    ~Variable() { set(before_.empty() ? nullptr : before_[0].c_str()); }

private:
    void set(const char* value) { value ? ::setenv(name_, value, 1) : ::unsetenv(name_); }
    const char* name_;
    std::vector<std::string> before_;
};

// The std::system_error that `action` throws; its code is 0 if it throws none.
template <class Action> std::system_error error_of(Action&& action)
{
    try {
        action();
    } catch (const std::system_error& error) {
        return error;
    }
    return std::system_error(0, std::generic_category(), "no error");
}

inline bool mentions(const std::system_error& error, const std::string& text)
{
    return std::string(error.what()).find(text) != std::string::npos;
}

inline bool readable(int fd, int timeout_ms)
{
    pollfd poll_fd{fd, POLLIN, 0};
    return ::poll(&poll_fd, 1, timeout_ms) == 1;
}

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
inline bool closes_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

inline mode_t mode_of(const std::string& path)
{
    struct stat status;
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

// Runs `action` (returning an int) in a forked child; the child's exit status, -1 if it was killed.
template <class Action> int in_child(Action&& action)
{
    const pid_t pid = ::fork();
    if (pid == 0) {
        int result = 99;
        try {
            result = action();
        } catch (...) {
        }
        ::_exit(result);
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Makes this process nobody for as long as it lives, if it is root.
class AsNobody {
public:
    AsNobody() : before_(::geteuid())
    {
        if (before_ == 0 && ::seteuid(nobody) < 0)
            throw std::system_error(errno, std::generic_category(), "seteuid");
    }
    AsNobody(const AsNobody&) = delete;
    ~AsNobody() { ::seteuid(before_) == 0 ? void() : std::abort(); }

private:
    uid_t before_;
};

struct Pipe {
    Pipe()
    {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) < 0)
            throw std::system_error(errno, std::generic_category(), "pipe2");
        reading.reset(ends[0]);
        writing.reset(ends[1]);
    }
    os::Descriptor reading;
    os::Descriptor writing;
};

} // namespace ringmix::test
