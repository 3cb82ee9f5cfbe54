package memory

// Parts are the sizes of a node's pools in bytes. None can use up another.
type Parts struct {
	// Bodies is for the bodies of requests, and what is made of them until they are stored.
	Bodies int64
	// Reads is for what is sent to clients: answers, lists, streams.
	Reads int64
	// Answers is for running jobs: their requests, and the providers' answers.
	Answers int64
	// Webhooks is for the bodies of webhooks that are being sent.
	Webhooks int64
}

// Split returns the parts of a process that may take limit bytes, in percent of it. The
// rest is for everything small, the store's caches, and garbage that the collector has not
// freed yet.
func Split(limit int64) Parts {
	percent := func(n int64) int64 { return limit / 100 * n }
	return Parts{Bodies: percent(30), Reads: percent(13), Answers: percent(13), Webhooks: percent(9)}
}

// All returns the sum of the parts.
func (p Parts) All() int64 { return p.Bodies + p.Reads + p.Answers + p.Webhooks }
