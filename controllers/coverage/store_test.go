package coverage

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/podkeep/podkeep/internal/coverage"
)

func pod(name string, volumes ...corev1.Volume) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.PodSpec{Volumes: volumes}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: "i"}}
	for _, v := range volumes {
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	return p
}

func scratch(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

func names(s *store[*coverage.Pod]) (names []string) {
	items, _ := s.list()
	for _, p := range items {
		names = append(names, p.Name)
	}
	return names
}

func TestStoreKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := newStore(keepPod)
	_, synced := s.list()
	g.Expect(synced).To(BeFalse(), "before the first list")

	// As the reflector streams: through the transformer, by key.
	transform := s.Transformer()
	first, err := transform(pod("a", scratch("cache")))
	g.Expect(err).NotTo(HaveOccurred())
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(first)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(key).To(Equal("shop/a"))
	again, err := transform(first)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(BeIdenticalTo(first), "transforming twice changes nothing")

	g.Expect(s.Replace([]any{first, pod("b", scratch("cache")), pod("stateless")}, "1")).To(Succeed())
	_, synced = s.list()
	g.Expect(synced).To(BeTrue())
	g.Expect(names(s)).To(ConsistOf("a", "b"), "pods without data are not kept")

	g.Expect(s.Add(pod("c", scratch("cache")))).To(Succeed())
	g.Expect(s.Update(pod("a"))).To(Succeed())
	g.Expect(s.Delete(pod("b", scratch("cache")))).To(Succeed())
	g.Expect(names(s)).To(ConsistOf("c"))

	g.Expect(s.Delete(cache.DeletedFinalStateUnknown{Key: "shop/c", Obj: pod("c")})).To(Succeed())
	g.Expect(s.Add("no object")).To(Succeed())
	g.Expect(s.Resync()).To(Succeed())
	g.Expect(names(s)).To(BeEmpty())
}
