package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/tests/suite"
)

// Stages of a volume.
const (
	stagePodCreated         = "application pod created"
	stagePodScheduled       = "application pod scheduled"
	stageRequested          = "request created"
	stageGateRunning        = "gate seen running"
	stageMoverCreated       = "mover pod created"
	stageMoverRunning       = "mover seen running"
	stageGranted            = "slot granted"
	stageGateEnded          = "gate seen ended"
	stageApplicationRunning = "application seen running"
	stageMoverEnded         = "mover seen ended"
	stageMoverGone          = "mover pod gone"
	stagePhase              = "phase " // and the phase
)

// stageOrder is the order in which one should cause the next. A slot may be
// granted as soon as the mover pod is created.
var stageOrder = []string{
	stagePodCreated, stageRequested, stagePodScheduled, stageGateRunning,
	stagePhase + string(velerov1.PodVolumeBackupPhaseAccepted), stageMoverCreated, stageMoverRunning,
	stagePhase + string(velerov1.PodVolumeBackupPhasePrepared), stageGranted,
	stagePhase + string(velerov1.PodVolumeBackupPhaseInProgress),
	stagePhase + string(velerov1.PodVolumeBackupPhaseCompleted),
	stageGateEnded, stageApplicationRunning, stageMoverEnded, stageMoverGone,
}

// stopwatch times one Backup or Restore from its creation to its end, with what
// happens to its volumes between.
type stopwatch struct {
	cluster  *suite.Cluster
	timeline *timeline
	request  client.Object
	ended    chan ending
}

// ending is the last phase of a request.
type ending struct {
	phase, why string
	after      time.Duration
}

// time creates the request and returns how long it took. namespace is that of
// the application.
func (s *stopwatch) time(ctx context.Context, namespace string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, suite.Long)
	defer cancel()
	s.ended = make(chan ending, 1)
	watches := []struct {
		list client.ObjectList
		in   string
		see  func(watch.Event)
	}{
		{&velerov1.BackupList{}, suite.Namespace, s.seeRequest},
		{&velerov1.RestoreList{}, suite.Namespace, s.seeRequest},
		{&velerov1.PodVolumeBackupList{}, suite.Namespace, s.seeVolume},
		{&velerov1.PodVolumeRestoreList{}, suite.Namespace, s.seeVolume},
		{&corev1.PodList{}, suite.Namespace, s.seeMover},
		{&corev1.PodList{}, namespace, s.seePod},
	}
	for _, w := range watches {
		events, err := s.cluster.Client.Watch(ctx, w.list, client.InNamespace(w.in))
		if err != nil {
			return 0, fmt.Errorf("watching: %w", err)
		}
		defer events.Stop()
		go func() {
			for e := range events.ResultChan() {
				w.see(e)
			}
		}()
	}
	s.timeline.begin(time.Now())
	if err := s.cluster.Client.Create(ctx, s.request); err != nil {
		return 0, err
	}
	select {
	case end := <-s.ended:
		if end.phase != string(velerov1.BackupPhaseCompleted) {
			return 0, fmt.Errorf("%s ended %s: %s", s.request.GetName(), end.phase, end.why)
		}
		return end.after, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for %s: %w", s.request.GetName(), ctx.Err())
	}
}

// seeRequest notes the phases and conditions of the request.
func (s *stopwatch) seeRequest(e watch.Event) {
	o, ok := e.Object.(client.Object)
	if !ok || o.GetName() != s.request.GetName() {
		return
	}
	var phase, why string
	var conditions []metav1.Condition
	var finished bool
	switch r := o.(type) {
	case *velerov1.Backup:
		phase, why = string(r.Status.Phase), fmt.Sprint(r.Status.FailureReason, r.Status.ValidationErrors)
		conditions, finished = r.Status.Conditions, r.IsFinished()
	case *velerov1.Restore:
		phase, why = string(r.Status.Phase), fmt.Sprint(r.Status.FailureReason, r.Status.ValidationErrors)
		conditions, finished = r.Status.Conditions, r.IsFinished()
	}
	for _, c := range conditions {
		if c.Status == metav1.ConditionTrue {
			s.timeline.noteWhole(c.Type)
		}
	}
	if phase != "" {
		s.timeline.noteWhole("phase " + phase)
	}
	if finished {
		select {
		case s.ended <- ending{phase, why, time.Since(s.timeline.start)}:
		default: // seen before
		}
	}
}

// seeVolume notes the phases of a PodVolumeBackup or PodVolumeRestore of the
// request.
func (s *stopwatch) seeVolume(e watch.Event) {
	var volume, phase, message string
	var o client.Object
	switch v := e.Object.(type) {
	case *velerov1.PodVolumeBackup:
		o, volume, phase, message = v, v.Spec.Pod.Name, string(v.Status.Phase), v.Status.Message
	case *velerov1.PodVolumeRestore:
		o, volume, phase, message = v, v.Spec.Pod.Name, string(v.Status.Phase), v.Status.Message
	default:
		return
	}
	owner := o.GetOwnerReferences()
	if len(owner) == 0 || owner[0].Name != s.request.GetName() {
		return
	}
	s.timeline.name(o.GetName(), volume)
	s.timeline.noteVolume(o.GetName(), stageRequested)
	if phase != "" && phase != string(velerov1.PodVolumeBackupPhaseNew) {
		s.timeline.noteVolume(o.GetName(), stagePhase+phase)
	}
	if message != "" {
		s.timeline.noteVolume(o.GetName(), fmt.Sprintf("message %.300q", message))
	}
}

// seeMover notes the life of a mover pod; it has the name of what it works for.
func (s *stopwatch) seeMover(e watch.Event) {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return
	}
	s.timeline.noteVolume(pod.Name, stageMoverCreated)
	if pod.Annotations[velerov1.SlotAnnotation] == velerov1.SlotGranted {
		s.timeline.noteVolume(pod.Name, stageGranted)
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			s.timeline.noteVolume(pod.Name, stageMoverRunning)
		}
		if c.State.Terminated != nil {
			s.timeline.noteVolume(pod.Name, stageMoverEnded)
		}
	}
	if e.Type == watch.Deleted {
		s.timeline.noteVolume(pod.Name, stageMoverGone)
	}
}

// seePod notes the life of a pod of the application while it is restored.
func (s *stopwatch) seePod(e watch.Event) {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok || pod.Labels[velerov1.RestoreNameLabel] == "" {
		return
	}
	s.timeline.name(pod.Name, pod.Name)
	s.timeline.noteVolume(pod.Name, stagePodCreated)
	if pod.Spec.NodeName != "" {
		s.timeline.noteVolume(pod.Name, stagePodScheduled)
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.Name == injector.GateName && c.State.Running != nil {
			s.timeline.noteVolume(pod.Name, stageGateRunning)
		}
		if c.Name == injector.GateName && c.State.Terminated != nil {
			s.timeline.noteVolume(pod.Name, stageGateEnded)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			s.timeline.noteVolume(pod.Name, stageApplicationRunning)
		}
	}
}
