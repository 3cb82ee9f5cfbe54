// Package delivery sends the webhooks of jobs.
//
//	outbox.go        renders the webhook that a job's end causes
//	dispatcher.go    the dispatcher: its configuration, what it takes of the store, expiry
//	dispatch.go      claims the deliveries that wait, where there are slots for them
//	redeliveries.go  claims those that were requested once more
//	claim.go         a claimed delivery: from its slot to its try
//	try.go           makes one try, and decides what it leads to
//	settle.go        stores that
//	scheduler.go     who may send now, and who is queued
//	host.go          one receiver's host: its gate, slots and queue
//	permit.go        the right to make one try
//	holds.go         the hosts that are on hold, as others see them
//	inflight.go      the claims in flight
//	progress.go      webhooks while a job runs
//	redeliver.go     sends a webhook once more, because a user asks for it
//	record.go        logs and counts all this; trace.go traces it
//
// The webhook of an end is stored in the transaction that stores the end, and sent from the
// store, so it survives this process. An answer's webhook is usually claimed by the insert
// itself ([Dispatcher.ClaimNow]), which saves a commit. Webhooks of a running job are not
// stored: a later one says the same and more.
//
// A host that answers quickly would be idle while the next deliveries for it are claimed,
// which takes a commit. So some are claimed ahead and queued: each try that ends hands its
// slot to the first of them.
package delivery
