// Package dispatch runs jobs: it claims those that wait when there is room for their
// calls, makes the calls, and stores what becomes of the jobs.
//
//	dispatcher.go   the dispatcher, and what it needs of others
//	claim.go        claims waiting jobs; plan.go deals slots to their lanes
//	start.go        an attempt has its slot until it ends; a free slot wakes the claims
//	insert.go       stores a new job, claimed at once if there is room for its call
//	attempt.go      one attempt: the call, what it says about key and model, its settle
//	call.go         calls a provider and waits for the answer
//	report.go       what a call says about key and model
//	settle.go       stores what becomes of a job after an attempt
//	orphans.go      what becomes of jobs whose attempts never ended: their node died, drained
//	                or does not know of them, or deciding about them panicked
//	cancel.go       ends jobs that somebody cancels; expire.go those that waited too long
//	waiting.go      why a job waits, and for how long the oldest has
//	scheduler.go    which lane may call its provider now (permit.go, lend.go, part.go)
//	names.go        the models with a lane and a label of their own
//	keyrefusals.go  when a provider's key counts as refused
//	holds.go        the holds of keys and models, for those who list and share them
//	inflight.go     the attempts in flight, and how to end their calls
//	record.go       logs and counts all this; trace.go traces it
//
// # Permits
//
// A call takes a permit: one of Config.Concurrency slots, and a permit of each of the gates
// of its (provider, model) and of its provider's key. A permit is taken before the claim
// and given back after the settle.
//
// # Other rooms
//
// What becomes of a job is decided by package outcome. The webhook that an end causes is
// made and sent by [Webhooks], and what is seen of an attempt while it runs goes through
// [Progress]: the node ties both to other packages.
package dispatch
