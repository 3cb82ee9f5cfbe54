// Package live lets clients, other nodes and receivers watch jobs as they happen.
//
// A client can watch a job in two ways. One that only waits for the job to move reads the
// store, waits for the next move and reads the store again: [Hub.Watch]. One that wants
// to see the answer grow reads the job's [Log], which all readers and the writer in this
// process share.
//
//	hub.go        which jobs are watched here, and their logs
//	log.go        the events of one job; frame.go: what the provider's own stream has
//	              around them; stored.go: the log as the store has it
//	watching.go   what the room needs of others
//	writer.go     writes the log during an attempt
//	tail.go       fills the log if no attempt of this process writes it: from the store,
//	              or through relay.go from the node that runs the job
//	stream.go     reads the log for one client
//	abandoned.go  cancels a job whose readers have left, if its caller wants that
//	moved.go      learns which watched jobs other nodes have begun or ended
//	token.go      the tokens that open the stream of one job
//	push.go       which streams are pushed to a stream_to; pushed.go: one of them
//
// The hub keeps nothing about a job that nobody watches and that is not running, and a
// publisher never waits for a watcher. A hub belongs to one process: moves of other nodes
// must be published here by the code that learns of them.
package live
