// SPDX-License-Identifier: LGPL-2.1-or-later
//
// kernel_seat.h: a client's place on a kernel's device, whose position is what a test says.

#pragma once

#include "fake_seat.h"

namespace ringmix::test {

inline abi::Geometry kernel_device()
{
    abi::Geometry g = small_device();
    g.device_kind = abi::device_kernel;
    g.boundary = std::uint64_t{4096} << 40;
    return g;
}

class KernelSeat : public FakeSeat {
public:
    KernelSeat() : FakeSeat(kernel_device()) { world.kernel = true; }

    // The device has come to `frame`, and has silenced what it has played; its server says nothing.
    void device_at(std::uint64_t frame)
    {
        const std::uint64_t ring = geometry().ring_frames;
        for (; silenced_ < frame; silenced_++)
            std::memset(view().ring + silenced_ % ring * view().frame_bytes, 0, view().frame_bytes);
        world.now_ns = 1'000'000'000 + static_cast<std::int64_t>(frame * 1'000'000'000 / geometry().rate);
        world.position = {frame, world.now_ns, true, false};
    }

private:
    std::uint64_t silenced_ = 0;
};

} // namespace ringmix::test
