package webhook

import (
	"context"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// manyNamespaces is a cache with so many namespaces that looking at all of them for
// each pod would be seen; nothing else is in it.
type manyNamespaces struct {
	*world
	policies map[string]string // by name
}

func (m manyNamespaces) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	namespace, ok := into.(*metav1.PartialObjectMetadata)
	if !ok {
		return m.world.Get(ctx, key, into, opts...)
	}
	policy, ok := m.policies[key.Name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, key.Name)
	}
	namespaceWith(key.Name, policy).DeepCopyInto(namespace)
	return nil
}

// TestManyNamespacesAreDecidedWithoutTheAPI has pods of 10 000 namespaces with all
// policies, with and without lists of their own, and of a restore: the API server is
// not asked once.
func TestManyNamespacesAreDecidedWithoutTheAPI(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	const count = 10_000
	policies := []string{velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff, "typo"}
	cache := manyNamespaces{
		world: worldWith(restore("shop-1", velerov1.RestorePhaseInProgress), claimOf("shop", "data", "uid")), policies: map[string]string{},
	}
	for i := range count {
		cache.policies[fmt.Sprintf("ns-%d", i)] = policies[i%len(policies)]
	}
	api := worldWith()
	stamp := (&selectionHandler{cache: cache}).judge
	gate := (&gateHandler{cache: cache, live: api, namespace: installNamespace, image: gateImage}).judge
	guard := (&guardHandler{&gateHandler{cache: cache, live: api, namespace: installNamespace, image: gateImage}}).judge
	want := map[string]string{velerov1.FSBackupOptIn: "", velerov1.FSBackupOptOut: "data", velerov1.FSBackupOff: "", "typo": ""}
	wantListed := map[string]string{velerov1.FSBackupOptIn: "data", velerov1.FSBackupOptOut: "data", velerov1.FSBackupOff: "", "typo": "data"}

	for name, policy := range cache.policies {
		plain := judged(t, stamp, podIn(name, volumes("data")))
		g.Expect(plain.reason).To(Equal(reasonStamped))
		g.Expect(plain.pod.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, want[policy]))
		listed := judged(t, stamp, podIn(name, volumes("data"), include("data")))
		g.Expect(listed.pod.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, wantListed[policy]))
		g.Expect(judged(t, gate, podIn(name, volumes("data"), restored("data"))).reason).To(Equal(reasonGated))
		g.Expect(judged(t, guard, podIn(name, volumes("data"))).reason).To(Equal(reasonClaimFree))
	}
	g.Expect(judged(t, guard, podIn("shop", claimVolume("data"))).reason).To(Equal(reasonClaimFree))

	g.Expect(api.reads).To(BeZero())
}

func podIn(namespace string, mods ...func(*corev1.Pod)) *corev1.Pod {
	pod := podWith(mods...)
	pod.Namespace = namespace
	return pod
}

func judged(t *testing.T, j judge, pod *corev1.Pod) verdict {
	t.Helper()
	v, err := j(t.Context(), review{pod: pod, namespace: pod.Namespace})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return v
}
