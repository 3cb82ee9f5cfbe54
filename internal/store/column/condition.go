package column

// Conditions on rows, in SQL, as both stores' queries and partial indexes have them: an
// index is only used by a query that repeats its condition. So changing one is also a
// migration.
const (
	// IsQueued and IsRunning select jobs by their state, IsEnded those in a terminal one.
	IsQueued  = `status = 0`
	IsRunning = `status = 1`
	IsEnded   = `status >= 2`
	// IsReady selects queued jobs that share their lane, IsSuspect those that wait outside
	// all lanes. The number is store.SuspectAfter.
	IsReady   = IsQueued + ` AND uncertain < 3`
	IsSuspect = IsQueued + ` AND uncertain >= 3`

	// IsDue selects deliveries that are waiting to be sent, including redeliveries;
	// IsWaiting those of them that were never delivered and are not dead.
	IsDue     = `due_at IS NOT NULL`
	IsWaiting = IsDue + ` AND status = 0`
)
