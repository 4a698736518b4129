package sync

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/locationaccess"
)

const (
	// maxNamed is how many backups a message names; it counts the others.
	maxNamed = 5

	// maxWhy is how much of one error a message repeats. It may quote what a
	// stranger has written.
	maxWhy = 300

	// maxEventBytes is less than the kilobyte that an event's note may have.
	maxEventBytes = 1000
)

// report turns the result of a sync into the status. It is the only writer of
// lastSyncedTime, of the condition Synced and of the annotation that says where
// the Backups come from.
//
// The condition has no observedGeneration: without a status subresource every
// change of the status is a new generation, so it would never be up to date.
func report(l *velerov1.BackupStorageLocation, res result, now time.Time) {
	condition := metav1.Condition{
		Type: velerov1.ConditionSynced, Status: metav1.ConditionTrue, Reason: velerov1.ReasonSucceeded,
		Message: "The backups in the location are in the cluster", LastTransitionTime: metav1.Time{Time: now},
	}
	if reason, message := complaint(l, res); reason != "" {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, reason, message
	}
	if !isOfCluster(res.failure) {
		meta.SetStatusCondition(&l.Status.Conditions, condition)
	}
	if res.failure != nil {
		return
	}
	l.Status.LastSyncedTime = &metav1.Time{Time: now}
	if l.Annotations == nil {
		l.Annotations = map[string]string{}
	}
	l.Annotations[velerov1.SyncedFromAnnotation] = res.place
}

// clusterError is a failure of the API server. It is logged and tried again, and
// says nothing about the location.
type clusterError struct{ err error }

func (e *clusterError) Error() string { return e.err.Error() }
func (e *clusterError) Unwrap() error { return e.err }

// inCluster marks an error of the API server with what was being done.
func inCluster(doing string, err error) error {
	return &clusterError{err: fmt.Errorf("%s: %w", doing, err)}
}

// isOfCluster reports whether a failure is one of the API server's.
func isOfCluster(err error) bool {
	_, ok := errors.AsType[*clusterError](err)
	return ok
}

// complaint is what is wrong, if anything, with its reason. What stopped the sync
// goes before what it found.
func complaint(l *velerov1.BackupStorageLocation, res result) (reason, message string) {
	switch {
	case res.failure != nil:
		return locationaccess.Reason(res.failure), "the backups in the location could not be compared with those in the cluster: " + locationaccess.Text(res.failure)
	case len(res.held) > 0:
		return velerov1.ReasonRemovalHeld, joined(heldMessage(l, res), problemsMessage(res.problems))
	case len(res.problems) > 0:
		return velerov1.ReasonBackupsSkipped, problemsMessage(res.problems)
	default:
		return "", ""
	}
}

func heldMessage(l *velerov1.BackupStorageLocation, res result) string {
	why := "it leads to another place than the one they came from"
	if res.isEmpty {
		why = "it is completely empty, as if its bucket or folder were another one"
	}
	return fmt.Sprintf("Backups %s are not in the location and are kept, because %s. Correct the location, or say that this is meant with: "+
		"kubectl annotate backupstoragelocation %s -n %s --overwrite %s=%s",
		someOf(res.held), why, l.Name, l.Namespace, velerov1.SyncedFromAnnotation, velerov1.SyncedFromHere)
}

// problemsMessage is the same for the same problems, whatever their order.
func problemsMessage(problems []problem) string {
	if len(problems) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(problems), func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.backup, b.backup), cmp.Compare(a.why, b.why))
	})
	var texts []string
	for _, p := range sorted {
		texts = append(texts, oneLine(shortened(p.backup)+": "+cut(p.why, maxWhy)))
	}
	return "not everything in the location is in the cluster: " + joinSome(texts, "; ")
}

// someOf lists names, the first ones in full.
func someOf(names []string) string { return joinSome(slices.Sorted(slices.Values(names)), ", ") }

func joinSome(texts []string, separator string) string {
	if more := len(texts) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(texts[:maxNamed], separator), more)
	}
	return strings.Join(texts, separator)
}

// newComplaint is what the condition says now and did not say before.
func newComplaint(before, after *velerov1.BackupStorageLocation) (reason, message string) {
	is := meta.FindStatusCondition(after.Status.Conditions, velerov1.ConditionSynced)
	was := meta.FindStatusCondition(before.Status.Conditions, velerov1.ConditionSynced)
	if is == nil || is.Status != metav1.ConditionFalse || (was != nil && was.Message == is.Message) {
		return "", ""
	}
	return is.Reason, cut(is.Message, maxEventBytes)
}

// oneLine makes a text fit for a message: names of folders may hold anything.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// cut shortens a text to that many bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}
