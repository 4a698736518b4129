package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// Budgets of scale (issue 3, 6).
const (
	scaleMostBytes = 300 * megabytes

	// scaleMostLists is how often a kind may be listed. A list has pages, each of
	// which is a request.
	scaleMostLists = 2

	// scaleMostGrowth is how much more the tenth part of the work may cost when
	// there is ten times as much: linear, with what noise adds.
	scaleMostGrowth = 2.0
)

// scaleQPS is the rate limit of this program's requests. It makes objects while
// nothing is measured.
const scaleQPS = 2000

// scaleLabel is on all that this section makes in the cluster.
const scaleLabel = "podkeep.io/bench-scale"

// scale is one run of the section.
type scale struct {
	*bench

	cluster *suite.Cluster // with a rate limit of its own
	run     string         // name of all that it makes
	server  int            // process of the server
	agent   int            // process of the node agent
}

// measureScale backs up many objects, and has many volumes move without moving
// any: their PodVolumeBackups are objects for nodes that do not exist.
func (b *bench) measureScale(ctx context.Context) error {
	c, err := b.cluster()
	if err != nil {
		return err
	}
	s := &scale{bench: b, cluster: c, run: "scale-" + rand.String(5)}
	s.cluster.Config.QPS, s.cluster.Config.Burst = scaleQPS, scaleQPS
	if s.cluster.Client, err = client.NewWithWatch(s.cluster.Config, client.Options{Scheme: c.Client.Scheme()}); err != nil {
		return err
	}
	if s.cluster.Clientset, err = kubernetes.NewForConfig(s.cluster.Config); err != nil {
		return err
	}
	if err := s.findProcesses(ctx); err != nil {
		return err
	}
	return errors.Join(s.measureObjects(ctx), s.measureVolumes(ctx))
}

// findProcesses finds the server and the node agent. While a new version is rolled
// out there are two of each.
func (s *scale) findProcesses(ctx context.Context) error {
	var processes map[string][]int
	err := wait.PollUntilContextTimeout(ctx, time.Second, suite.Short, true, func(context.Context) (bool, error) {
		var err error
		processes, err = findProcesses()
		return len(processes["server"]) == 1 && len(processes["node-agent"]) == 1, err
	})
	if err != nil {
		return fmt.Errorf("%d servers and %d node agents run on this machine, not one of each: %w", len(processes["server"]), len(processes["node-agent"]), err)
	}
	s.server, s.agent = processes["server"][0], processes["node-agent"][0]
	return nil
}

// labels are on all that this run makes in the cluster.
func (s *scale) labels() map[string]string { return map[string]string{scaleLabel: s.run} }

// parseCounts reads a list of numbers that grow.
func parseCounts(flagName, text string) ([]int, error) {
	var counts []int
	for _, field := range strings.Split(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || (len(counts) > 0 && n <= counts[len(counts)-1]) {
			return nil, fmt.Errorf("%s: Invalid value: %q: must be numbers above 0, the smallest first, such as 2000,20000", flagName, text)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// each calls do for the numbers from begin to end, some at a time, and returns
// the first error.
func each(ctx context.Context, begin, end int, do func(ctx context.Context, i int) error) error {
	const workers = 16
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan int)
	failed := make(chan error, workers)
	for range workers {
		go func() {
			var err error
			for i := range next {
				if err = do(ctx, i); err != nil {
					cancel()
					break
				}
			}
			failed <- err
		}()
	}
	for i := begin; i < end && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	var err error
	for range workers {
		if e := <-failed; e != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = e
		}
	}
	return err
}

// finished waits for a backup, longer than a test does: this machine may be slow.
func (s *scale) finished(ctx context.Context, b *velerov1.Backup) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, scaleTimeout, true, func(ctx context.Context) (bool, error) {
		err := s.cluster.Client.Get(ctx, client.ObjectKeyFromObject(b), b)
		return b.IsFinished(), err
	})
	switch {
	case err != nil:
		return fmt.Errorf("waiting for backup %s, which is %s: %w", b.Name, b.Status.Phase, err)
	case b.Status.Phase != velerov1.BackupPhaseCompleted:
		return fmt.Errorf("backup %s ended %s: %s %v", b.Name, b.Status.Phase, b.Status.FailureReason, b.Status.ValidationErrors)
	default:
		return nil
	}
}

const scaleTimeout = 15 * time.Minute

// removeBackup removes a backup from storage and then from the cluster. The other
// way round, the sync would make it again from what it still finds.
func (s *scale) removeBackup(ctx context.Context, b *velerov1.Backup) error {
	bucket, err := s.gateway()
	if err != nil {
		return err
	}
	return errors.Join(
		bucket.removeObjects(ctx, "backups/"+b.Name+"/"),
		client.IgnoreNotFound(s.cluster.Client.Delete(ctx, b)))
}

// removeNamespaces deletes the namespaces of this run and waits until they are
// gone. The controller of namespaces would ask for every kind in each of five
// hundred; here it is known what is in them, so their content is deleted kind by
// kind, and then nothing holds them up any more.
func (s *scale) removeNamespaces(ctx context.Context) error {
	s.progress("scale: removing the namespaces")
	list := &corev1.NamespaceList{}
	if err := s.cluster.Client.List(ctx, list, client.MatchingLabels(s.labels())); err != nil {
		return err
	}
	err := each(ctx, 0, len(list.Items), func(ctx context.Context, i int) error { return s.removeNamespace(ctx, &list.Items[i]) })
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Second, scaleTimeout, true, func(ctx context.Context) (bool, error) {
		err := s.cluster.Client.List(ctx, list, client.MatchingLabels(s.labels()), client.Limit(1))
		return len(list.Items) == 0, err
	})
}

// removeNamespace marks the namespace as going first: nobody adds anything to it
// then.
func (s *scale) removeNamespace(ctx context.Context, ns *corev1.Namespace) error {
	if err := s.cluster.Client.Delete(ctx, ns); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, kind := range []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}, &rbacv1.Role{}, &corev1.ServiceAccount{}} {
		if err := s.cluster.Client.DeleteAllOf(ctx, kind, client.InNamespace(ns.Name)); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	ns.Spec.Finalizers, ns.ResourceVersion = nil, ""
	_, err := s.cluster.Clientset.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
	return client.IgnoreNotFound(err)
}
