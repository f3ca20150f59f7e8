// SPDX-License-Identifier: LGPL-2.1-or-later
//
// captured.h: what is written to stderr meanwhile.

#pragma once

#include <algorithm>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace ringmix::test {

class Stderr {
public:
    Stderr() : file_(memfd_create("stderr", MFD_CLOEXEC)), kept_(dup(STDERR_FILENO)) { dup2(file_, STDERR_FILENO); }
    ~Stderr()
    {
        dup2(kept_, STDERR_FILENO);
        close(kept_);
        close(file_);
    }
    Stderr(const Stderr&) = delete;
    Stderr& operator=(const Stderr&) = delete;
    std::string text() const
    {
        std::string text(1 << 20, '\0');
        text.resize(static_cast<std::size_t>(std::max<ssize_t>(pread(file_, text.data(), text.size(), 0), 0)));
        return text;
    }
    // How often `part` is in it.
    std::size_t count(const std::string& part) const { return count_of(text(), part); }

    static std::size_t count_of(const std::string& text, const std::string& part)
    {
        std::size_t count = 0;
        for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
            count++;
        return count;
    }

private:
    int file_, kept_;
};

} // namespace ringmix::test
