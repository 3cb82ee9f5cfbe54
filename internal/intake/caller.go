package intake

// Caller is who makes a request.
type Caller struct {
	// Project owns the jobs that the caller makes, and those that it sees.
	Project string
	// Key is the name of the API key that was shown; "" for none, and for one without a
	// name.
	Key  string
	Role Role
}

// DefaultProject is the project of callers whose key belongs to no other one.
const DefaultProject = "default"

// Role is what a caller may do.
type Role string

// The roles.
const (
	// Anonymous callers may use only the open routes.
	Anonymous Role = ""
	// Watcher may watch the one job that its token opens.
	Watcher Role = "watcher"
	// Operator may do everything in its project.
	Operator Role = "operator"
)
