// Package live lets clients watch jobs as they happen.
//
// A client can watch a job in two ways. One that only waits for the job to move reads the
// store, waits for the next move and reads the store again: [Hub.Watch]. One that wants
// to see the answer grow reads the job's [Log], which all readers and the writer in this
// process share.
//
//	hub.go     which jobs are watched here, and their logs
//	log.go     the events of one job; frame.go: what the provider's own stream has around
//	           them; stored.go: the log as the store has it
//	token.go   the tokens that open the stream of one job
//
// The hub keeps nothing about a job that nobody watches and that is not running, and a
// publisher never waits for a watcher. A hub belongs to one process: moves of other nodes
// must be published here by the code that learns of them.
package live
