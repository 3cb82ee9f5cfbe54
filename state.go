package ringback

// Status is the state of a job.
//
//	queued ─claim─▶ running ─answer──────────────────────────▶ completed
//	  ▲               │─permanent error, or last attempt──────▶ failed
//	  └──retry at t───┤─cancel─────────────────────────────────▶ cancelled
//	                          waiting past expires_at ─────────▶ expired
type Status string

// The states of a job.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	Expired   Status = "expired"
)

// Statuses lists every state.
var Statuses = []Status{Queued, Running, Completed, Failed, Cancelled, Expired}

// Terminal reports whether s is final: such a job never changes.
func (s Status) Terminal() bool {
	switch s {
	case Completed, Failed, Cancelled, Expired:
		return true
	default:
		return false
	}
}
