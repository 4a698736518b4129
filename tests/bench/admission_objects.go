package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// admissionLabel is on all that this section makes in the cluster.
const admissionLabel = "podkeep.io/bench-admission"

// podNamespaces share the pods.
const podNamespaces = 10

// restingBusy is how busy the machine may be when it has come to rest, and
// restingTime over how long. It may take leastResting, and restingPerNamespace more
// for what controllers do for each: 3.5 minutes for 10 000.
const (
	restingBusy         = 0.25
	restingTime         = 5 * time.Second
	leastResting        = 30 * time.Second
	restingPerNamespace = 18 * time.Millisecond
)

func (a *admissions) namespace(i int) string { return fmt.Sprintf("%s-%05d", a.run, i) }

func (a *admissions) labels() map[string]string { return map[string]string{admissionLabel: a.run} }

// fill makes the namespaces, a third of them with each policy, and the pods.
func (a *admissions) fill(ctx context.Context) error {
	a.progress("admission: making %d namespaces", a.admission.namespaces)
	if err := each(ctx, 0, a.admission.namespaces, a.createNamespace); err != nil {
		return err
	}
	a.progress("admission: making %d pods", a.admission.pods)
	return each(ctx, 0, a.admission.pods, a.createPod)
}

func (a *admissions) createNamespace(ctx context.Context, i int) error {
	policies := []string{velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace(i), Labels: a.labels()}}
	ns.Labels[velerov1.FSBackupLabel] = policies[i%len(policies)]
	return a.cluster.Client.Create(ctx, ns)
}

// createPod makes a pod that nobody schedules. Its namespace has a service account a
// moment after it was made.
func (a *admissions) createPod(ctx context.Context, i int) error {
	pod := newLoadPod()
	pod.ObjectMeta = metav1.ObjectMeta{
		Namespace: a.namespace(i % min(podNamespaces, a.admission.namespaces)), Name: fmt.Sprintf("app-%d", i),
		Labels: a.labels(), Annotations: pod.Annotations,
	}
	pod.Spec.SchedulerName = "nobody"
	pod.Spec.AutomountServiceAccountToken = ptr.To(false)
	return wait.PollUntilContextTimeout(ctx, pollInterval, suite.Long, true, func(ctx context.Context) (bool, error) {
		err := a.cluster.Client.Create(ctx, pod.DeepCopy())
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return true, err
	})
}

// settle waits until controllers have done what they do for new namespaces. It does
// not wait for ever, because a machine may be busy with what is not ours.
func (a *admissions) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leastResting+time.Duration(a.admission.namespaces)*restingPerNamespace)
	defer cancel()
	for {
		before, err := readProcessors()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restingTime):
		}
		after, err := readProcessors()
		if err != nil || after.busySince(before) < restingBusy {
			return err
		}
	}
}

// remove removes all that this run made. Kubernetes deletes a namespace by asking for
// every kind in it, which takes hours for ten thousand; what is in these is known.
func (a *admissions) remove(ctx context.Context) error {
	a.progress("admission: removing %d namespaces", a.admission.namespaces)
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := a.cluster.Client.List(ctx, list, client.MatchingLabels(a.labels())); err != nil {
		return err
	}
	return each(ctx, 0, len(list.Items), func(ctx context.Context, i int) error {
		return a.removeNamespace(ctx, list.Items[i].Name)
	})
}

func (a *admissions) removeNamespace(ctx context.Context, name string) error {
	in, now := client.InNamespace(name), client.GracePeriodSeconds(0)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := a.cluster.Client.Delete(ctx, ns); err != nil {
		return client.IgnoreNotFound(err)
	}
	err := errors.Join(
		a.cluster.Client.DeleteAllOf(ctx, &corev1.Pod{}, in, now),
		a.cluster.Client.DeleteAllOf(ctx, &corev1.ServiceAccount{}, in),
		a.cluster.Client.DeleteAllOf(ctx, &corev1.ConfigMap{}, in))
	if err != nil {
		return fmt.Errorf("emptying namespace %s: %w", name, err)
	}
	ns.Spec.Finalizers = []corev1.FinalizerName{}
	_, err = a.cluster.Clientset.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
	return client.IgnoreNotFound(err)
}
