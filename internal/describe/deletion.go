package describe

import (
	"fmt"
	"slices"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// byCreation returns requests from the oldest to the newest.
func byCreation(requests []velerov1.DeleteBackupRequest) []velerov1.DeleteBackupRequest {
	return slices.SortedStableFunc(slices.Values(requests), func(a, b velerov1.DeleteBackupRequest) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
}

func failedDeletions(requests []velerov1.DeleteBackupRequest) int {
	n := 0
	for i := range requests {
		s := &requests[i].Status
		if s.Phase == velerov1.DeleteBackupRequestPhaseProcessed && len(s.Errors) > 0 {
			n++
		}
	}
	return n
}

func failedNote(requests []velerov1.DeleteBackupRequest) string {
	if n := failedDeletions(requests); n > 0 {
		return fmt.Sprintf(" (%d failed)", n)
	}
	return ""
}

// deletionValues is what "describe -o json" says of the requests to remove a
// backup.
func deletionValues(requests []velerov1.DeleteBackupRequest) values {
	list := make([]values, 0, len(requests))
	for _, r := range byCreation(requests) {
		v := values{"creationTimestamp": r.CreationTimestamp.String(), "phase": r.Status.Phase}
		if len(r.Status.Errors) > 0 {
			v["errors"] = r.Status.Errors
		}
		list = append(list, v)
	}
	v := values{"deleteBackupRequests": list}
	if n := failedDeletions(requests); n > 0 {
		v["failed"] = n
	}
	return v
}
