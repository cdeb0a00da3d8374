/*
 * The application: it knows nothing of adapters, and is the same before and after.
 */
export function rooms(io) {
  io.on('connection', (socket) => {
    socket.on('join', async (room, done) => {
      await socket.join(room);
      done();
    });
    socket.on('say', ({ room, text }) => io.to(room).emit('said', text));
    socket.on('who', async (room, done) => done((await io.in(room).fetchSockets()).map(({ id }) => id)));
  });
}
