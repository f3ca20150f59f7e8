// SPDX-License-Identifier: LGPL-2.1-or-later
//
// handover.h: how a server gives all that it has to another one, which takes its place under playing clients
// (ringmixd --replace). Both sides' messages; what is done with them is in succession.cpp. Control threads; may block.
//
// The old one goes on until the new one has built everything and says so (Ready); then it stops its engine, tells
// where it has stopped (Commit), and ends. Whatever fails before that leaves the old one as it was.

#pragma once

#include "os/descriptor.h"
#include "ringmix/protocol.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ringmix::server {

// Everything, as the new server receives it.
struct Inheritance {
    struct Place { // a slot in use
        protocol::HandoverSlot record;
        os::Descriptor socket; // empty: its player has gone
    };
    protocol::Handover head;
    os::Descriptor predecessor;                             // the connection to the old server
    os::Descriptor board, arena, device, silence, listener; // the first four empty: its device is closed
    std::vector<Place> places;

    bool device_open() const noexcept { return head.geometry.rate != 0; }
};

// Asks the server at `path` for everything. Nothing: none is there. Throws std::runtime_error with its answer if it
// refuses, or does not answer like one.
std::optional<Inheritance> ask_for_inheritance(const std::string& path);
// Says that all is built, and waits for the word. Throws std::runtime_error if it does not come: the old one goes on.
protocol::Commit await_commit(int predecessor);

// The other side. Each throws std::runtime_error if the successor does not listen any more.
void give(int successor, const protocol::Handover& head, std::span<const int> descriptors);
void give(int successor, const protocol::HandoverSlot& record, int socket); // -1: none
void await_ready(int successor);

} // namespace ringmix::server
