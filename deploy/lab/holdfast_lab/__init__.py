# SPDX-License-Identifier: Apache-2.0
"""A laboratory of three regions on loopback addresses: real servers, real programs, real faults.

It starts things, stops them, kills them and checks them. Nothing in here belongs to Holdfast's
programs: whatever decides, fences, copies or restores is theirs.
"""
