package movement

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// maxNoteBytes is the longest note of an event (k8s.io/api/events/v1, Event).
const maxNoteBytes = 1024

// RecordEnd tells in an event how an object ended. A nil recorder tells nobody.
func RecordEnd(recorder events.EventRecorder, obj client.Object, s Status) {
	if recorder == nil {
		return
	}
	reason, eventType, note := s.Phase, corev1.EventTypeWarning, s.Message
	if c := meta.FindStatusCondition(s.Conditions, velerov1.ConditionCompleted); c != nil {
		reason = c.Reason
	}
	if s.Phase == phaseCompleted {
		eventType = corev1.EventTypeNormal
		note = fmt.Sprintf("Moved %d bytes. %s", s.Progress.BytesDone, s.Message)
	}
	if len(note) > maxNoteBytes {
		note = strings.ToValidUTF8(note[:maxNoteBytes-len("…")], "") + "…"
	}
	recorder.Eventf(obj, nil, eventType, reason, "MoveVolume", "%s", note)
}
