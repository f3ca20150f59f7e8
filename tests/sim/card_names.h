// SPDX-License-Identifier: LGPL-2.1-or-later
//
// card_names.h: what server/device_kernel.cpp calls of libasound means the simulated card, and what
// server/log.cpp writes goes nowhere. Included before those files when they are compiled for the simulator.

#pragma once

#include <alsa/asoundlib.h>
#include <unistd.h>

extern "C" {
int sim_pcm_open(snd_pcm_t** pcm, const char* name, snd_pcm_stream_t stream, int mode);
int sim_pcm_close(snd_pcm_t* pcm);
snd_pcm_type_t sim_pcm_type(snd_pcm_t* pcm);
int sim_pcm_poll_descriptors_count(snd_pcm_t* pcm);
int sim_pcm_poll_descriptors(snd_pcm_t* pcm, struct pollfd* fds, unsigned space);
int sim_pcm_sw_params_current(snd_pcm_t* pcm, snd_pcm_sw_params_t* params);
int sim_pcm_sw_params_get_boundary(const snd_pcm_sw_params_t* params, snd_pcm_uframes_t* boundary);
int sim_pcm_info(snd_pcm_t* pcm, snd_pcm_info_t* info);
int sim_pcm_prepare(snd_pcm_t* pcm);
int sim_card_get_name(int card, char** name);
ssize_t sim_write(int fd, const void* text, __SIZE_TYPE__ bytes);
}

#define snd_pcm_open sim_pcm_open
#define snd_pcm_close sim_pcm_close
#define snd_pcm_type sim_pcm_type
#define snd_pcm_poll_descriptors_count sim_pcm_poll_descriptors_count
#define snd_pcm_poll_descriptors sim_pcm_poll_descriptors
#define snd_pcm_sw_params_current sim_pcm_sw_params_current
#define snd_pcm_sw_params_get_boundary sim_pcm_sw_params_get_boundary
#define snd_pcm_info sim_pcm_info
#define snd_pcm_prepare sim_pcm_prepare
#define snd_card_get_name sim_card_get_name
#define write sim_write
