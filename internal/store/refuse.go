package store

import "github.com/ringback/ringback"

// What each of these moves refuses, given the present row: the same in both stores.

// ReplayRefusals are the errors of a replay that come with the job that they are about.
var ReplayRefusals = []error{ErrReplayed, ErrLive, ErrEnded, ErrGone}

// RefuseReplay returns why a project may not repeat a job; nil if it may, unless it is
// being repeated.
func RefuseReplay(dead Job, project string) error {
	switch {
	case dead.Project != project:
		return ErrNotFound
	case !dead.Status.Terminal():
		return ErrLive
	case dead.Status == ringback.Completed:
		return ErrEnded
	case dead.ContentGone:
		return ErrGone
	}
	return nil
}

// RefuseErase returns why a project may not erase a job; nil if it may.
func RefuseErase(j Job, project string) error {
	switch {
	case j.Project != project:
		return ErrNotFound
	case !j.Status.Terminal():
		return ErrLive
	}
	return nil
}

// RefuseRedeliver returns why a project may not have a delivery sent once more; nil if it
// may.
func RefuseRedeliver(d Delivery, project string) error {
	switch {
	case d.Project != project:
		return ErrNotFound
	case d.InFlight:
		return ErrInFlight
	case d.Gone:
		return ErrGone
	}
	return nil
}

// RefuseAddDelivery returns why a project may not have a job's end sent to one more place;
// nil if it may.
func RefuseAddDelivery(j Job, project string) error {
	if err := RefuseErase(j, project); err != nil {
		return err
	}
	if j.ContentGone {
		return ErrGone
	}
	return nil
}

// RefuseEraseDelivery returns why a project may not erase a delivery; nil if it may, or
// already has.
func RefuseEraseDelivery(d Delivery, project string) error {
	switch {
	case d.Project != project:
		return ErrNotFound
	case d.Gone:
		return nil
	case d.InFlight:
		return ErrInFlight
	case d.Status != ringback.DeliveryDead:
		return ErrNotDead
	}
	return nil
}
