// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/listener.h"

#include "os/lock_file.h"
#include "os/socket.h"
#include "os/timer.h"

#include <stdexcept>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ringmix::server {

namespace {

// A server that ends takes its socket away first and gives its lock back in a moment.
constexpr std::int64_t ending_ns = 2'000'000'000;

bool answers(const std::string& path) noexcept
{
    try {
        return static_cast<bool>(os::connect_to(path));
    } catch (const std::exception&) {
        return false;
    }
}

} // namespace

Listener Listener::at(const std::string& path, mode_t mode)
{
    Listener listener;
    listener.path_ = path;
    listener.mode_ = mode;
    os::require_socket_place(path);
    const std::int64_t deadline = os::monotonic_ns() + ending_ns;
    while (!listener.lock()) {
        if (answers(path) || os::monotonic_ns() >= deadline)
            throw std::runtime_error("another ringmixd serves " + path + " already; stop it, or choose another --name");
        os::sleep_ns(5'000'000);
    }
    listener.listen();
    return listener;
}

Listener Listener::passed(os::Descriptor socket)
{
    Listener listener;
    listener.path_ = "passed by the service manager";
    listener.socket_ = std::move(socket);
    return listener;
}

Listener Listener::taken_over(os::Descriptor socket, const std::string& path, mode_t mode)
{
    Listener listener;
    listener.path_ = path;
    listener.mode_ = mode;
    listener.socket_ = std::move(socket);
    return listener;
}

bool Listener::own() noexcept
try {
    const std::int64_t deadline = os::monotonic_ns() + ending_ns;
    while (!lock()) {
        if (os::monotonic_ns() >= deadline)
            return false;
        os::sleep_ns(1'000'000);
    }
    file_ = file_at(path_);
    watch_directory();
    return true;
} catch (const std::exception&) {
    return false;
}

void Listener::leave() noexcept
{
    watch_.reset();
    lock_.reset();
}

Listener::~Listener()
{
    // Closing it takes a while: not between the end of the file and that of the lock, in which a program finds
    // nobody, starts a server, and that one finds the lock held.
    watch_.reset();
    if (lock_ && file_at(path_) == file_)
        ::unlink(path_.c_str());
    lock_.reset();
}

Listener::File Listener::file_at(const std::string& path) noexcept
{
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0
               ? File{status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec}
               : File{};
}

bool Listener::lock()
{
    const std::string path = path_ + ".lock";
    os::Descriptor lock = os::try_lock_file(path);
    if (!lock)
        return false;
    lock_ = std::move(lock);
    lock_file_ = file_at(path);
    return true;
}

void Listener::listen()
{
    socket_ = os::listen_at(path_, mode_);
    file_ = file_at(path_);
    watch_directory();
}

// Without it (no inotify) a lost file is not noticed; everything else works.
void Listener::watch_directory() noexcept
{
    watch_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    ::inotify_add_watch(watch_.get(), os::directory_of(path_).c_str(),
                        IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

bool Listener::restore(os::Descriptor& old)
{
    char events[4096];
    while (::read(watch_.get(), events, sizeof events) > 0) {
    }
    if (file_at(path_) == file_)
        return false;
    // The lock's file may have gone with it, and another server may have locked a new one.
    if (file_at(path_ + ".lock") != lock_file_ && !lock())
        throw std::runtime_error("another ringmixd serves " + path_ + " already");
    old = std::move(socket_);
    listen();
    return true;
}

} // namespace ringmix::server
