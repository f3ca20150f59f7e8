// SPDX-License-Identifier: LGPL-2.1-or-later

#include "sys/lock_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>

namespace ringmix::sys {
namespace {

// References, so that errno is read before any text is put together.
template <class... Parts> [[noreturn]] void fail(int error, const Parts&... parts)
{
    throw std::system_error(error, std::generic_category(), (std::string() + ... + parts));
}

// Some file systems answer other things than EEXIST for what exists: look before complaining.
void make_parents(const std::string& path)
{
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        const std::string directory = path.substr(0, slash);
        if (::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST)
            continue;
        const int error = errno;
        if (::access(directory.c_str(), F_OK) < 0)
            fail(error, "make directory ", directory, " for ", path);
    }
}

} // namespace

Descriptor try_lock_file(const std::string& path)
{
    make_parents(path);
    // No symbolic link: the file may lie where others can write.
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        fail(errno, "open lock file ", path);
    while (::flock(file.get(), LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return {};
        if (errno != EINTR)
            fail(errno, "flock ", path);
    }
    return file;
}

} // namespace ringmix::sys
