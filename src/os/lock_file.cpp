// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/lock_file.h"

#include "os/error.h"
#include "os/paths.h"
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>

namespace ringmix::os {
Descriptor try_lock_file(const std::string& path)
{
    make_directories_for(path);
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

} // namespace ringmix::os
