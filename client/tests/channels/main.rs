//! Clients over TCP, against the real adjudicator: the roles of go-perun's tests, and more.
//!
//! The faults of go-perun that must not be here (`protocol` stands for `protocol/tests`, `link` for
//! `client/tests/link`, other names for modules of this file):
//!
//! | | fault | shown by |
//! |---|---|---|
//! | G1 | locked amounts lost in encoding | `protocol/properties`: `states_come_back`, with locked amounts |
//! | G2, G3 | an update accepted because a part of it looks right | no sub- or virtual channels yet; every next state is computed and compared: `mallory::bad_updates_change_nothing_and_are_answered` |
//! | G4 | a handler goes on after it has refused, and blocks | `mallory::bad_updates_change_nothing_and_are_answered`: the channel is used again after each |
//! | G5 | an owner who does not answer can never settle | `disputes::an_owner_who_never_decides_can_still_leave`, `paying::who_wants_to_be_asked_accepts_rejects_or_lets_time_pass` |
//! | G6 | two signed states of one version after crossing updates | `paying::payments_made_meanwhile_go_together`; `protocol/channel`: `both_pay_at_once`; `protocol/explorer` |
//! | G7 | index maps not compared | no index maps in use yet; `protocol/properties`: `different_states_have_different_bytes` |
//! | G8 | identity without challenge | `link/handshake`: `a_recorded_session_opens_nothing`, `a_hello_for_another_static_key_proves_nothing` |
//! | G9 | anybody speaks as anybody | `mallory::nobody_speaks_about_the_channel_of_others` |
//! | G10 | a sync tells strangers, and takes signatures back | `mallory::nobody_speaks_about_the_channel_of_others`, `mallory::a_bad_answer_completes_nothing` |
//! | G11 | no way back after a crash in an update | `persistence::killed_while_a_proposal_waits_for_its_answer`; `crashes/boundaries` |
//! | G12 | a refutation that fails is dropped | `disputes::refuting_is_tried_until_it_succeeds_and_half_of_the_time_is_warned_of`, `disputes::who_was_away_while_it_was_registered_refutes_when_he_is_back` |
//! | G13 | hostile bytes end the process | `mallory::garbage_ends_a_connection_and_nothing_else`; `protocol/wire`: `no_bytes_panic` |
//! | G14 | frames too short, or read in part | `link/frames`: `frames_may_arrive_in_any_pieces`, `chunks_of_a_long_frame_keep_their_places` |
//! | G15 | silent loss; one bad message ends all | `mallory::garbage_ends_a_connection_and_nothing_else`; `protocol/channel`: `the_link_breaks_after_every_message` |
//! | G16 | a dead connection keeps a new one out | `link/peers`: `who_dial_at_once_keep_one_connection`; `link/heartbeat`: `a_dead_peer_is_found` |
//! | G17 | one queue for all peers | `link/frames`: `a_flood_of_one_leaves_room_for_others`, `a_peer_that_never_reads_slows_only_itself` |
//! | G18 | the funding agreement is not checked | `mallory::bad_proposals_are_answered_and_cost_nothing`, `proposals::terms_that_make_no_channel_are_not_proposed` |
//! | G19 | what is invalid is not answered | `mallory::bad_proposals_are_answered_and_cost_nothing`, `mallory::bad_updates_change_nothing_and_are_answered` |
//! | G20 | keys counted twice | nothing is counted: one key an identity |
//! | G21 | the auxiliary hash binds nothing | `protocol/vectors`: `params` |
//! | G22 | an order that depends on a map's | assets are an ordered list: `protocol/vectors`: `the_files_are_those_that_the_code_makes` |
//! | G23 | a timeout that is over before it is | `protocol/disputes`: `at_the_timeout_it_is_too_late` |
//! | G24 | an unsigned state takes the place of a signed one | no app moves yet; `SignedState` cannot be made without signatures |
//! | G25 | traces of removed channels | `persistence::who_was_stopped_goes_on_after_one_round_trip`, at its end |
//! | G26 | durations, doubles and own keys unchecked | `proposals::a_window_too_short_to_refute_in_is_refused_by_either_side`, `mallory::bad_proposals_are_answered_and_cost_nothing` |
//! | G27 | watching can be forgotten | no test calls anything for it: `disputes::either_side_refutes_alone` |
//! | G28 | a handler called with the channel locked | `proposals::too_many_proposals_at_once_are_turned_away`: others go on while an owner thinks |

#[path = "../world/mod.rs"]
mod world;

mod disputes;
mod mallory;
mod paying;
mod persistence;
mod proposals;
mod recovery;
mod rogue;
