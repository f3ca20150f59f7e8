// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/paths.h"

#include "os/error.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace ringmix::os {
namespace {

constexpr std::size_t max_name_length = 64;

// Empty if not set, or not to be believed (set-user-ID programs).
std::string environment(const char* variable)
{
    const char* value = ::secure_getenv(variable);
    return value ? value : "";
}

std::string in_directory(const std::string& directory, const std::string& name)
{
    return directory + "/ringmix/" + name + ".sock";
}

std::string system_path(const std::string& name) { return in_directory("/run", name); }

bool writable(const std::string& directory)
{
    return ::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

// For a user without a runtime directory (cron, su, a service).
std::string fallback_directory() { return "/tmp/ringmix-" + std::to_string(::geteuid()); }

// Anybody could have made it before, or a link to a place of others'.
bool is_private(const std::string& directory) noexcept
{
    struct stat status {};
    return ::lstat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid() &&
           (status.st_mode & 077) == 0;
}

std::string fallback_path(const std::string& name) { return fallback_directory() + "/" + name + ".sock"; }

// Empty where there is no such directory. The XDG specification has relative ones ignored.
std::string user_path(const std::string& name)
{
    const std::string directory = environment("XDG_RUNTIME_DIR");
    return directory.starts_with('/') ? in_directory(directory, name) : "";
}

} // namespace

bool valid_instance_name(const std::string& name) noexcept
{
    // Spelled out, not isalnum(): the answer must not depend on the host program's locale.
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return !name.empty() && name.size() <= max_name_length && name.front() != '.' &&
           name.find_first_not_of(allowed) == std::string::npos;
}

std::string server_socket_path(const std::string& name)
{
    if (std::string path = environment("RINGMIX_SOCKET"); !path.empty())
        return path;
    // Root serves the whole system, even where su or sudo left a user's XDG_RUNTIME_DIR behind.
    std::string path = ::geteuid() == 0 ? "" : user_path(name);
    if (!path.empty())
        return path;
    return ::geteuid() == 0 || writable("/run/ringmix") ? system_path(name) : fallback_path(name);
}

std::vector<std::string> client_socket_paths(const std::string& name)
{
    if (std::string path = environment("RINGMIX_SOCKET"); !path.empty())
        return {path};
    std::vector<std::string> paths;
    if (std::string path = user_path(name); !path.empty())
        paths.push_back(std::move(path));
    paths.push_back(system_path(name));
    // Also where there is a runtime directory: a program without one may have started the user's server.
    if (::geteuid() != 0 && is_private(fallback_directory()))
        paths.push_back(fallback_path(name));
    return paths;
}

void make_directories_for(const std::string& path)
{
    const mode_t mode = ::geteuid() == 0 ? 0755 : 0700;
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        const std::string directory = path.substr(0, slash);
        if (::mkdir(directory.c_str(), mode) == 0 || errno == EEXIST)
            continue;
        const int error = errno;
        if (::access(directory.c_str(), F_OK) < 0)
            fail(error, "directory ", directory, " for ", path,
                 " does not exist and cannot be made; make it, or choose another --socket");
    }
    if (const std::string own = fallback_directory(); path.starts_with(own + "/") && !is_private(own))
        fail(EPERM, "directory ", own, " is not this user's alone (a directory of the user's own with mode 0700): ",
             "remove it, or set XDG_RUNTIME_DIR to a directory of yours");
}

} // namespace ringmix::os
