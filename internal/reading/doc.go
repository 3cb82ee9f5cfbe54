// Package reading has what the API reads: jobs, their ledgers and deliveries, dead letters
// and nodes.
//
//	reader.go      the [Reader] and what it needs
//	view.go        rows of the store as the API shows them
//	opened.go      one job with its content
//	parts.go       the large parts of it, shared by all who read them
//	wait.go        waits for the end of a job
//	jobs.go        lists jobs and ledgers
//	deliveries.go  lists deliveries
//	dead.go        lists dead letters, and does something to all that match a filter
//	erase.go       deletes the content of a job
//	nodes.go       lists the nodes
//
// Large content is charged to the memory for reads before it is read. A read for which
// there is no memory is refused, or waits for it.
package reading
