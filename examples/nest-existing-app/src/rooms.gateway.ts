/*
 * The application: it knows nothing of adapters, and is the same before and after.
 */
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server, Socket } from 'socket.io';

@WebSocketGateway()
export class RoomsGateway {
  @WebSocketServer()
  server!: Server;

  @SubscribeMessage('join')
  async join(@ConnectedSocket() socket: Socket, @MessageBody() room: string): Promise<boolean> {
    await socket.join(room);
    return true;
  }

  @SubscribeMessage('say')
  say(@MessageBody() { room, text }: { room: string; text: string }): void {
    this.server.to(room).emit('said', text);
  }

  @SubscribeMessage('who')
  async who(@MessageBody() room: string): Promise<string[]> {
    return (await this.server.in(room).fetchSockets()).map(({ id }) => id);
  }
}
