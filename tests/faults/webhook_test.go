package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// newPolicyNamespace makes a namespace whose pods are stamped, and waits until they
// are.
func newPolicyNamespace(t *testing.T, c *suite.Cluster) string {
	t.Helper()
	ns := c.NewNamespace(t, "policy")
	setPolicy(t, c, ns)
	NewWithT(t).Eventually(func() (map[string]string, error) {
		return dryRun(t.Context(), c, stamped(ns))
	}, suite.Short).Should(HaveKey(velerov1.SelectedVolumesAnnotation))
	return ns
}

func setPolicy(t *testing.T, c *suite.Cluster, name string) {
	t.Helper()
	g := NewWithT(t)
	ns := &corev1.Namespace{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: name}, ns)).To(Succeed())
	before := ns.DeepCopy()
	ns.Labels[velerov1.FSBackupLabel] = velerov1.FSBackupOptOut
	g.Expect(c.Client.Patch(t.Context(), ns, client.MergeFrom(before))).To(Succeed())
}

// stamped is a pod that the selection webhook sees, and gated one that the gate sees:
// of a restore that does not exist, so that it is admitted.
func stamped(ns string) *corev1.Pod {
	p := suite.Pod(ns, "")
	p.GenerateName = "load-"
	return p
}

func gated(ns string) *corev1.Pod {
	p := stamped(ns)
	p.Labels[velerov1.RestoreNameLabel] = "no-such-restore"
	p.Annotations[velerov1.RestoreVolumesAnnotation] = "data"
	return p
}

// dryRun creates a pod without creating it, and returns its annotations.
func dryRun(ctx context.Context, c *suite.Cluster, p *corev1.Pod) (map[string]string, error) {
	err := c.Client.Create(ctx, p, client.DryRunAll)
	return p.Annotations, err
}

func TestWebhookDownStopsRestoresAndNothingElse(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "fault")
	c.Apply(t, suite.Pod(ns, "app"))
	source := c.RunningPods(t, ns, "app", 1)[0]
	g.Expect(os.WriteFile(filepath.Join(c.EmptyDir(source, "data"), "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	policy, target := newPolicyNamespace(t, c), ns+"-copy"
	c.CleanNamespace(t, target)

	c.Scale(t, suite.Namespace, suite.WebhookName, 0)
	t.Cleanup(func() { c.Scale(t, suite.Namespace, suite.WebhookName, 2) })
	r := suite.NewRestore(b, target)
	c.Apply(t, r)

	// Ordinary pods start, with a policy and without.
	ordinary := suite.Pod(policy, "ordinary")
	delete(ordinary.Annotations, velerov1.VolumesToBackupAnnotation) // the policy alone chooses
	c.Apply(t, ordinary, suite.Pod(ns, "ordinary"))
	g.Expect(ordinary.Annotations).NotTo(HaveKey(velerov1.SelectedVolumesAnnotation), "nobody was there to stamp it")
	c.RunningPods(t, policy, "ordinary", 1)
	c.RunningPods(t, ns, "ordinary", 1)
	// A restored one does not.
	_, err := dryRun(t.Context(), c, gated(ns))
	g.Expect(err).To(MatchError(ContainSubstring(`failed calling webhook "gate.podkeep.io"`)))
	// The restore waits, and says so.
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		g.Expect(r.Status.Conditions).To(ContainElement(HaveField("Reason", velerov1.ReasonWebhookUnavailable)))
	}, suite.Long).Should(Succeed(), "the restore says what it waits for")
	g.Expect(r.IsFinished()).To(BeFalse())
	described, err := c.Podkeep(suite.Namespace, "restore", "describe", r.Name)
	g.Expect(err).NotTo(HaveOccurred(), described)
	g.Expect(described).To(ContainSubstring(velerov1.ReasonWebhookUnavailable))
	g.Expect(podsIn(t, c, target)).To(BeEmpty())

	c.Scale(t, suite.Namespace, suite.WebhookName, 2)

	// Nobody does anything else.
	c.FinishedRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	g.Expect(c.FirstLog(t, c.RunningPods(t, target, "app", 1)[0], "app")).To(Equal("at start: the data is here"))
	// What was not stamped is backed up all the same.
	later := c.RunBackup(t, suite.NewBackup(policy))
	g.Expect(later.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", later.Status)
	g.Expect(c.VolumeBackups(t, later)).To(HaveKey(policy + "/ordinary/data"))
}

// load creates pods without a pause and counts what is lost.
type load struct {
	mu     sync.Mutex
	done   int     // guarded by mu
	errors []error // guarded by mu
}

// run creates pods until ctx ends, some at a time. A stamp that is missing is lost
// as well: the failurePolicy hides that nobody answered.
func (l *load) run(ctx context.Context, c *suite.Cluster, ns string) {
	const workers = 3
	var all sync.WaitGroup
	for i := range 2 * workers {
		create := func() error {
			_, err := dryRun(ctx, c, gated(ns))
			return err
		}
		if i%2 == 0 {
			create = func() error {
				annotations, err := dryRun(ctx, c, stamped(ns))
				if _, ok := annotations[velerov1.SelectedVolumesAnnotation]; err == nil && !ok {
					return fmt.Errorf("not stamped at %s", time.Now().Format(time.StampMilli))
				}
				return err
			}
		}
		all.Go(func() {
			for ctx.Err() == nil {
				l.count(ctx, create())
			}
		})
	}
	all.Wait()
}

func (l *load) count(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the last of each is cut off
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	if err != nil {
		l.errors = append(l.errors, err)
	}
}

func (l *load) sum() (done int, errors []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done, l.errors
}

func TestWebhookIsReplacedWithoutLosingAPod(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := newPolicyNamespace(t, c)
	old := map[string]bool{}
	for _, p := range c.WebhookPods(t) {
		old[p.Name] = true
	}
	ctx, stop := context.WithCancel(t.Context())
	var l load
	finished := make(chan struct{})
	go func() { defer close(finished); l.run(ctx, c, ns) }()
	t.Cleanup(func() { stop(); <-finished })
	atLeast := func(n int) {
		before, _ := l.sum()
		g.Eventually(func() int { done, _ := l.sum(); return done - before }, suite.Long).Should(BeNumerically(">=", n))
	}
	atLeast(100)

	restart(t, c, suite.WebhookName)
	g.Eventually(func(g Gomega) { // those that end answer until they are gone
		pods := c.WebhookPods(t)
		g.Expect(pods).To(HaveLen(2))
		for _, p := range pods {
			g.Expect(old).NotTo(HaveKey(p.Name))
			g.Expect(p.Status.Conditions).To(ContainElement(And(HaveField("Type", corev1.PodReady), HaveField("Status", corev1.ConditionTrue))))
		}
	}, suite.Long).Should(Succeed())
	atLeast(100)
	stop()
	<-finished

	done, lost := l.sum()
	t.Logf("%d pods were created meanwhile", done)
	g.Expect(lost).To(BeEmpty(), "of %d", done)
	g.Expect(c.Decisions(t, "gate")).To(BeNumerically(">", 0), "the new replicas answer")
}

// restart replaces the pods of a Deployment as "kubectl rollout restart" does.
func restart(t *testing.T, c *suite.Cluster, name string) {
	t.Helper()
	g := NewWithT(t)
	d := &appsv1.Deployment{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: name}, d)).To(Succeed())
	before := d.DeepCopy()
	metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, "kubectl.kubernetes.io/restartedAt", time.Now().Format(time.RFC3339))
	g.Expect(c.Client.Patch(t.Context(), d, client.MergeFrom(before))).To(Succeed())
}

// TestUnrelatedPodsAreNotSent counts in the webhook what the API server sends. It is
// alone on the cluster.
func TestUnrelatedPodsAreNotSent(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	count := func() [3]float64 {
		return [3]float64{c.Decisions(t, "selection"), c.Decisions(t, "gate"), c.Decisions(t, "guard")}
	}
	policy, plain := newPolicyNamespace(t, c), c.NewNamespace(t, "plain")
	before := count()

	// Outside of every policy and restore: created, run, changed and deleted.
	c.Apply(t, suite.Pod(plain, "bare"), suite.Deployment(plain, "owned"), suite.StatefulSet(plain, "claims"))
	pods := c.RunningPods(t, plain, "bare", 1)
	pods = append(pods, c.RunningPods(t, plain, "owned", 1)...)
	pods = append(pods, c.RunningPods(t, plain, "claims", 1)...)
	for i := range pods {
		annotatePod(t, c, &pods[i])
		c.Remove(t, &pods[i])
	}
	// In the install namespace.
	_, err := dryRun(t.Context(), c, stamped(suite.Namespace))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(count()).To(Equal(before), "selection, gate, guard")

	// With a policy: selection alone, at CREATE and when annotations change.
	c.Apply(t, suite.Pod(policy, "chosen"))
	chosen := c.RunningPods(t, policy, "chosen", 1)[0]
	g.Expect(count()).To(Equal([3]float64{before[0] + 1, before[1], before[2]}), "the kubelet's updates are not sent")
	labelled := chosen.DeepCopy()
	labelled.Labels["some"] = "label"
	g.Expect(c.Client.Patch(t.Context(), labelled, client.MergeFrom(&chosen))).To(Succeed())
	g.Expect(count()).To(Equal([3]float64{before[0] + 1, before[1], before[2]}), "nor is a change of labels")
	annotatePod(t, c, labelled)
	g.Expect(count()).To(Equal([3]float64{before[0] + 2, before[1], before[2]}))

	// With the label of a restore: the gate too.
	_, err = dryRun(t.Context(), c, gated(plain))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(count()).To(Equal([3]float64{before[0] + 2, before[1] + 1, before[2]}))
}

func annotatePod(t *testing.T, c *suite.Cluster, p *corev1.Pod) {
	t.Helper()
	before := p.DeepCopy()
	metav1.SetMetaDataAnnotation(&p.ObjectMeta, velerov1.VolumesToExcludeAnnotation, "data")
	NewWithT(t).Expect(c.Client.Patch(t.Context(), p, client.MergeFrom(before))).To(Succeed())
}
