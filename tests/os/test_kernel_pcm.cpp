// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Errors only: what needs a sound card is tested in tests/kernel.

#include "os/kernel_pcm.h"

#include "support.h"

#include <doctest/doctest.h>

using namespace ringmix::os;
using namespace ringmix::test;

TEST_CASE("a descriptor that is no PCM is refused")
{
    const auto code = [](int fd) { return error_of([&] { KernelPcm(fd, 4096); }).code().value(); };
    CHECK(code(-1) == EBADF);
    // Memory could be mapped at the status page's offset, and touching it would raise SIGBUS.
    CHECK(code(make_sealed_memory("test", 4096).get()) == ENOTTY);
    CHECK(code(Descriptor(::open("/dev/zero", O_RDWR | O_CLOEXEC)).get()) == ENOTTY);
}

TEST_CASE("no PCM is a PCM that is gone")
{
    const KernelPcm none;
    CHECK_FALSE(none);
    CHECK(none.ring() == nullptr);
    for (const auto& position : {none.last_position(), none.fresh_position()}) {
        CHECK(position.gone);
        CHECK_FALSE(position.running);
    }
}
